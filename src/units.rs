//! Units: bitrates and amounts of data. Times are [`Duration`]. Pure.
//!
//! Bits, bytes, bits per second and kilobits per second are all small numbers, and easily confused. So a bare number
//! stands only where something outside of the program counts: a configuration key, a driver, a codec library.
//!
//! Both types hold a finite number that is not negative, with a fraction: an estimate is multiplied by factors near 1,
//! and rounding each time would stop it. A result outside of that range becomes the nearest value in it, so arithmetic
//! never panics.

use std::{
    cmp::Ordering as Order,
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, Sub},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bitrate(f64);

/// An amount of data, in bits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DataSize(f64);

/// The nearest finite number that is not negative; 0 for a result that is not a number.
fn in_range(value: f64) -> f64 {
    if value > 0.0 { value.min(f64::MAX) } else { 0.0 }
}

impl Bitrate {
    /// No data at all.
    pub const ZERO: Self = Self(0.0);
    /// More than any path carries.
    pub const MAX: Self = Self(f64::MAX);

    /// This many bits per second.
    pub const fn from_bps(bits: u64) -> Self {
        Self(bits as f64)
    }

    /// This many kilobits (1000 bits) per second.
    pub const fn from_kbps(kilobits: u32) -> Self {
        Self(kilobits as f64 * 1_000.0)
    }

    /// Bits per second, rounded down; `u32::MAX` if there are more.
    pub fn as_bps(self) -> u32 {
        self.0 as u32
    }

    /// Kilobits per second, rounded down; `u32::MAX` if there are more.
    pub fn as_kbps(self) -> u32 {
        (self.0 / 1_000.0) as u32
    }

    /// Bits per second, with their fraction.
    pub fn as_bps_f64(self) -> f64 {
        self.0
    }

    /// The same in whole bits per second, rounded down.
    pub fn floor(self) -> Self {
        Self(self.0.floor())
    }

    /// How far apart two bitrates are.
    pub fn abs_diff(self, other: Self) -> Self {
        Self((self.0 - other.0).abs())
    }
}

impl DataSize {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);

    /// This many bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits as f64)
    }

    /// This many bytes.
    pub const fn from_bytes(bytes: usize) -> Self {
        Self(bytes as f64 * 8.0)
    }

    /// Whole bytes, rounded down.
    pub fn as_bytes(self) -> usize {
        (self.0 / 8.0) as usize
    }
}

/// `100 kbit/s`: whole kilobits per second, rounded down, for the log.
impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.as_kbps())
    }
}

/// `1250 bytes`: whole bytes, rounded down, for the log.
impl fmt::Display for DataSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_bytes())
    }
}

/// What both units have in common: an order, a sum, a difference that stops at zero, a multiple and a share.
macro_rules! arithmetic {
    ($unit:ident) => {
        // The number is finite, so it is equal to itself and every two of them have an order.
        impl Eq for $unit {}

        impl Ord for $unit {
            fn cmp(&self, other: &Self) -> Order {
                self.0.total_cmp(&other.0)
            }
        }

        impl PartialOrd for $unit {
            fn partial_cmp(&self, other: &Self) -> Option<Order> {
                Some(self.cmp(other))
            }
        }

        impl Add for $unit {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(in_range(self.0 + other.0))
            }
        }

        impl AddAssign for $unit {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        /// The difference, or zero if the second one is larger.
        impl Sub for $unit {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self(in_range(self.0 - other.0))
            }
        }

        /// A multiple; zero for a negative factor.
        impl Mul<f64> for $unit {
            type Output = Self;

            fn mul(self, factor: f64) -> Self {
                Self(in_range(self.0 * factor))
            }
        }

        /// A part; the largest value for the divisor zero.
        impl Div<f64> for $unit {
            type Output = Self;

            fn div(self, divisor: f64) -> Self {
                Self(in_range(self.0 / divisor))
            }
        }

        /// How many times the second one the first one is.
        impl Div for $unit {
            type Output = f64;

            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $unit {
            fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
                values.fold(Self(0.0), Add::add)
            }
        }
    };
}

arithmetic!(Bitrate);
arithmetic!(DataSize);

/// What a bitrate carries in a time.
impl Mul<Duration> for Bitrate {
    type Output = DataSize;

    fn mul(self, time: Duration) -> DataSize {
        DataSize(in_range(self.0 * time.as_secs_f64()))
    }
}

/// The bitrate that carries an amount in a time; the largest one if the time is zero.
impl Div<Duration> for DataSize {
    type Output = Bitrate;

    fn div(self, time: Duration) -> Bitrate {
        Bitrate(in_range(self.0 / time.as_secs_f64()))
    }
}

/// How long a bitrate takes to carry an amount; the longest time if the bitrate is zero.
impl Div<Bitrate> for DataSize {
    type Output = Duration;

    fn div(self, rate: Bitrate) -> Duration {
        let seconds = if self.0 > 0.0 { self.0 / rate.0 } else { 0.0 };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// A bitrate that one thread sets and others read, in whole bits per second. Not set at first.
#[derive(Debug, Default)]
pub struct AtomicBitrate(AtomicU32);

impl AtomicBitrate {
    /// Sets it; zero is "not set".
    pub fn store(&self, bitrate: Bitrate) {
        self.0.store(bitrate.as_bps(), Ordering::Release);
    }

    /// The newest value; `None` if it is not set.
    pub fn load(&self) -> Option<Bitrate> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            bits => Some(Bitrate::from_bps(bits.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Bitrate = Bitrate::from_kbps(400);
    const SIZE: DataSize = DataSize::from_bytes(1_250);

    #[test]
    fn a_unit_converts_to_others_rounded_down() {
        for (bits, kilobits, text) in
            [(0, 0, "0 kbit/s"), (999, 0, "0 kbit/s"), (1_000, 1, "1 kbit/s"), (1_234_567, 1_234, "1234 kbit/s")]
        {
            let rate = Bitrate::from_bps(bits);
            assert_eq!((u64::from(rate.as_bps()), rate.as_kbps()), (bits, kilobits), "{bits}");
            assert_eq!(rate.to_string(), text, "{bits}");
        }
        assert_eq!(Bitrate::from_kbps(2_000), Bitrate::from_bps(2_000_000));
        assert_eq!(Bitrate::from_bps(1 << 40).as_bps(), u32::MAX);
        assert_eq!((Bitrate::from_bps(10) * 0.99).floor(), Bitrate::from_bps(9));
        for (size, bytes, text) in [
            (DataSize::from_bits(7), 0, "0 bytes"),
            (DataSize::from_bits(10_000), 1_250, "1250 bytes"),
            (DataSize::from_bytes(1_250), 1_250, "1250 bytes"),
        ] {
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, text));
        }
    }

    #[test]
    fn rate_time_and_size_belong_together() {
        for (rate, time, size) in [
            (RATE, Duration::from_millis(25), SIZE),
            (Bitrate::from_bps(8), Duration::from_secs(2), DataSize::from_bytes(2)),
            (Bitrate::from_kbps(50_000), Duration::from_micros(1), DataSize::from_bits(50)),
        ] {
            assert_eq!(rate * time, size, "{rate}");
            assert_eq!(size / time, rate, "{rate}");
            assert_eq!(size / rate, time, "{rate}");
        }
    }

    #[test]
    fn arithmetic_stays_within_its_range() {
        assert_eq!(RATE + RATE, RATE * 2.0);
        assert_eq!(RATE - RATE * 2.0, Bitrate::ZERO, "no negative rate");
        assert_eq!(RATE.abs_diff(RATE * 3.0), RATE * 2.0);
        assert_eq!([SIZE, SIZE, SIZE].into_iter().sum::<DataSize>() / SIZE, 3.0);
        for (name, rate) in [
            ("overflow", Bitrate::MAX + Bitrate::MAX),
            ("a large factor", Bitrate::MAX * f64::INFINITY),
            ("no time", SIZE / Duration::ZERO),
            ("divided by zero", RATE / 0.0),
        ] {
            assert_eq!(rate, Bitrate::MAX, "{name}");
        }
        for (name, rate) in [
            ("a negative factor", RATE * -1.0),
            ("not a number", RATE * f64::NAN),
            ("nothing in no time", DataSize::ZERO / Duration::ZERO),
        ] {
            assert_eq!(rate, Bitrate::ZERO, "{name}");
        }
        assert_eq!(SIZE / Bitrate::ZERO, Duration::MAX);
        assert_eq!(DataSize::ZERO / Bitrate::ZERO, Duration::ZERO);
    }

    #[test]
    fn every_two_values_have_an_order() {
        assert!(Bitrate::ZERO < RATE && RATE < Bitrate::MAX && RATE * -0.0 == Bitrate::ZERO);
        assert_eq!((RATE * -0.0).cmp(&Bitrate::ZERO), Order::Equal, "-0 equals 0");
        assert_eq!(RATE.clamp(Bitrate::from_kbps(50), Bitrate::from_kbps(100)), Bitrate::from_kbps(100));
    }

    #[test]
    fn a_shared_bitrate_is_not_set_at_first() {
        let shared = AtomicBitrate::default();
        assert_eq!(shared.load(), None);
        shared.store(RATE);
        assert_eq!(shared.load(), Some(RATE));
        shared.store(Bitrate::ZERO);
        assert_eq!(shared.load(), None);
    }
}
