//! Lamps and buttons of the board. What they mean is decided in `lamp.rs` and `button.rs`, which are pure. `chip.rs`,
//! `uapi.rs` and `led.rs` are the kernel's interfaces. Threads join them: one for all lamps (`lamps.rs`), and one for
//! each button (`buttons.rs`).

pub mod button;
mod buttons;
mod chip;
pub mod lamp;
mod lamps;
mod led;
mod uapi;

pub use self::{
    buttons::{ButtonWiring, WatchedButton},
    chip::{ProbedChip, chips, line_fault},
    lamps::{DeviceLamp, LampHandle},
    led::{ProbedLed, led_fault, leds},
};
