//! Colours and emphasis; without colours when NO_COLOR is set.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    colours: bool,
}

const NAMES: [Color; 6] =
    [Color::Cyan, Color::Magenta, Color::Yellow, Color::Blue, Color::LightRed, Color::LightGreen];

impl Look {
    pub fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// As the terminal's user and <https://no-color.org> want it.
    pub fn wanted() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn plain(self) -> Style {
        Style::new()
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What one may overlook.
    pub fn faint(self) -> Style {
        if self.colours { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Somebody's name, always in the same colour.
    pub fn name(self, user: &str, me: &str) -> Style {
        if user == me {
            return self.good().add_modifier(Modifier::BOLD);
        }
        let sum = user.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.colour(NAMES[sum % NAMES.len()]).add_modifier(Modifier::BOLD)
    }

    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub fn accent(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// What has the keys.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What must not be overlooked.
    pub fn banner(self) -> Style {
        match self.colours {
            true => Style::new().fg(Color::Black).bg(Color::Yellow),
            false => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        }
    }

    /// What was looked for.
    pub fn found(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::UNDERLINED | Modifier::BOLD)
    }
}
