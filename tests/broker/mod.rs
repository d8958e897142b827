//! The MQTT link against mosquitto, and against servers that are none.

mod life;
mod refusals;
mod secure;
mod traffic;
