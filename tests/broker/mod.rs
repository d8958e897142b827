//! The MQTT link with mosquitto, with a scripted broker, and with servers that speak no MQTT.

mod large_messages;
mod presence;
mod refused_connections;
mod requests_and_replies;
mod tls_and_logins;
mod unusual_brokers;
