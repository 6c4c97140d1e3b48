//! An assembler for classic BPF, the language of seccomp filters. A program may only jump
//! forward, so it is written from its end to its beginning: whatever an instruction goes on to
//! already stands, its distance is known, and labels need no second pass.

use libc::sock_filter;

/// A place in the program: counted from its end, so that it stays true while code is put before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// What a conditional jump asks of the accumulator; all without a sign.
#[derive(Clone, Copy)]
pub enum Test {
    Eq = libc::BPF_JEQ as isize,
    Gt = libc::BPF_JGT as isize,
    Ge = libc::BPF_JGE as isize,
}

/// A conditional jump has 8 bits for each distance.
const FAR: usize = u8::MAX as usize;

/// A program in the making; its last instruction comes first.
#[derive(Default)]
pub struct Assembler {
    backwards: Vec<sock_filter>,
    /// The newest `return` of each word.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    /// Code that ends the filter with `word`; shared while it is near.
    pub fn ret(&mut self, word: u32) -> Label {
        let known = self.returns.iter().position(|(known, _)| *known == word);
        if let Some(at) = known
            && self.distance(self.returns[at].1) < FAR
        {
            return self.returns[at].1;
        }
        let label = self.emit(libc::BPF_RET | libc::BPF_K, word, 0, 0);
        match known {
            Some(at) => self.returns[at].1 = label,
            None => self.returns.push((word, label)),
        }
        label
    }

    /// Loads the 32 bits at `offset` of `seccomp_data`, then goes to `next`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.go(next);
        self.emit(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
    }

    /// Keeps the bits of the accumulator that are in `mask`, then goes to `next`.
    pub fn and(&mut self, mask: u32, next: Label) -> Label {
        self.go(next);
        self.emit(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0)
    }

    /// Compares the accumulator with `value` and goes to `yes` or `no`.
    pub fn branch(&mut self, test: Test, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let (yes, no) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.emit(libc::BPF_JMP | libc::BPF_K | test as u32, value, yes, no)
    }

    /// The program that begins at `entry`, first instruction first.
    pub fn finish(mut self, entry: Label) -> Vec<sock_filter> {
        self.go(entry);
        self.backwards.reverse();
        self.backwards
    }

    /// Lets the instruction put next run into `next`: with a jump, unless `next` follows anyway.
    fn go(&mut self, next: Label) {
        if self.distance(next) > 0 {
            self.jump(next);
        }
    }

    /// A label within reach that leads to `target`. One step is left to spare, for the other
    /// branch of the same jump may need a stepping stone too.
    fn near(&mut self, target: Label) -> Label {
        if self.distance(target) < FAR { target } else { self.jump(target) }
    }

    /// An unconditional jump has 32 bits for the distance.
    fn jump(&mut self, target: Label) -> Label {
        let distance = self.distance(target) as u32;
        self.emit(libc::BPF_JMP | libc::BPF_JA, distance, 0, 0)
    }

    /// How many instructions an instruction put now would skip to get to `target`.
    fn distance(&self, target: Label) -> usize {
        self.backwards.len() - target.0 - 1
    }

    fn emit(&mut self, code: u32, k: u32, jt: u8, jf: u8) -> Label {
        self.backwards.push(sock_filter { code: code as u16, jt, jf, k });
        Label(self.backwards.len() - 1)
    }
}
