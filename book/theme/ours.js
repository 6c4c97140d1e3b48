// Ours: transcripts are copied without their prompts, what scrolls can be reached by keyboard, and what
// is folded away opens when the book is printed. Everything else works without a script.

// Before mdBook's own listener, which would copy prompts and output too.
document.addEventListener('click', event => {
    const button = event.target.closest('.clip-button');
    const transcript = button && button.closest('pre.console');
    if (!transcript) {
        return;
    }
    event.stopPropagation();
    const commands = Array.from(transcript.querySelectorAll('.command'), it => it.textContent);
    const say = text => {
        button.firstChild.innerText = text;
        button.classList.add('tooltipped');
    };
    navigator.clipboard.writeText(commands.join('\n') + '\n')
        .then(() => say('Copied!'), () => say('Cannot copy'));
}, true);

for (const block of document.querySelectorAll('pre > code, .table-wrapper')) {
    if (block.scrollWidth > block.clientWidth) {
        block.tabIndex = 0;
    }
}

// mdBook opens the contents by a box that is ticked; its button is no label of that box here.
document.getElementById('mdbook-sidebar-toggle').addEventListener('click', () => {
    document.getElementById('mdbook-sidebar-toggle-anchor').click();
});

let folded = [];
window.addEventListener('beforeprint', () => {
    folded = Array.from(document.querySelectorAll('details:not([open])'));
    folded.forEach(it => { it.open = true; });
});
window.addEventListener('afterprint', () => folded.forEach(it => { it.open = false; }));
