//! The MQTT link against mosquitto, and against servers that are none.

mod large_messages;
mod presence;
mod refused_connections;
mod requests_and_replies;
mod tls_and_logins;
mod unusual_brokers;
