//! The x-ray: a container drawn as a room whose walls are the kernel's answers. A wall is the
//! container's own where the kernel answers differently than it answers a reference process (the
//! host), and the host's where it answers the same. Each comes with the evidence.

mod compare;
mod svg;
mod table;

use serde::{Deserialize, Serialize};

use crate::{Process, paint::Paint};

/// Whose answer a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    Own,
    Host,
    Unknown,
}

/// One question that a container answers differently, or should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    pub name: String,
    pub question: String,
    /// The step that builds it; `None`: it is built in part II.
    pub step: Option<u32>,
    pub whose: Whose,
    pub evidence: String,
}

/// All walls of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xray {
    /// What the picture is of: `step 4: mount`, `PID 1234`.
    pub title: String,
    pub pid: i32,
    pub command: String,
    pub walls: Vec<Wall>,
}

type Compare = fn(&Process, &Process) -> (Whose, String);

/// Name, question, step, and how the kernel's answers are compared.
const WALLS: [(&str, &str, Option<u32>, Compare); 13] = [
    ("files", "Which files are there?", Some(1), compare::files),
    ("host name", "What is this machine called?", Some(2), compare::host_name),
    ("processes", "Who else runs here?", Some(3), compare::processes),
    ("mounts", "What is mounted where?", Some(4), compare::mounts),
    ("network", "Who can be reached?", Some(5), compare::network),
    ("users", "Who am I?", Some(6), compare::users),
    ("resources", "How much may I use?", Some(7), compare::resources),
    ("layers", "Whose copy do I change?", Some(8), compare::layers),
    ("system calls", "What may I ask of the kernel?", Some(9), compare::system_calls),
    ("IPC", "Whose shared memory is this?", None, compare::ipc),
    ("clocks", "How long has this machine been up?", None, compare::clocks),
    ("capabilities", "What may root do?", None, compare::capabilities),
    ("LSM", "Which policy am I under?", None, compare::policy),
];

/// The question that a step answers: `What is mounted where?`. Empty for a step that there is not.
pub fn question(step: u32) -> &'static str {
    let wall = WALLS.iter().find(|wall| wall.2 == Some(step));
    wall.map_or("", |wall| wall.1)
}

impl Xray {
    /// Compares a process with a reference, usually the observer (`Process::own`).
    pub fn of(title: &str, process: &Process, host: &Process) -> Xray {
        let wall = |(name, question, step, compare): (&str, &str, _, Compare)| {
            let (whose, evidence) = compare(process, host);
            Wall { name: name.to_string(), question: question.to_string(), step, whose, evidence }
        };
        Xray {
            title: title.to_string(),
            pid: process.pid,
            command: process.command.get().map_or(String::new(), |words| words.join(" ")),
            walls: WALLS.map(wall).into(),
        }
    }

    /// How many walls are the container's own.
    pub fn own(&self) -> usize {
        let own = |wall: &&Wall| wall.whose == Whose::Own;
        self.walls.iter().filter(own).count()
    }

    /// The wall that a step builds.
    pub fn of_step(&self, step: u32) -> Option<&Wall> {
        self.walls.iter().find(|wall| wall.step == Some(step))
    }

    /// One row a wall, for the terminal.
    pub fn table(&self, paint: Paint) -> String {
        table::draw(self, paint)
    }

    /// The picture, as a file.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }

    /// The picture as a part of a page, which gives it its colours; `id` is its own there.
    pub fn svg_inline(&self, id: &str) -> String {
        svg::draw_inline(self, id)
    }

    /// What a file of [`Xray::svg`] shows.
    pub fn of_svg(svg: &str) -> Option<Xray> {
        svg::read(svg)
    }
}

impl Wall {
    /// Its row of the table, without a newline.
    pub fn row(&self, paint: Paint) -> String {
        table::row(self, paint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_itself_a_process_has_no_wall() {
        let own = Process::own().unwrap();
        let xray = Xray::of("myself", &own, &own);
        assert_eq!(xray.walls.len(), 13);
        assert_eq!(xray.own(), 0, "{}", xray.table(Paint(false)));
    }

    #[test]
    fn a_step_builds_one_wall() {
        let own = Process::own().unwrap();
        let xray = Xray::of("myself", &own, &own);
        assert!((1..=9).all(|step| xray.of_step(step).is_some()));
        assert_eq!(xray.of_step(4).unwrap().name, "mounts");
    }
}
