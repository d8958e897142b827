//! The MQTT link against mosquitto, and against servers that are none.

mod large;
mod life;
mod odd;
mod refusals;
mod secure;
mod traffic;
