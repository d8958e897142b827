//! The templates that are shipped, used as they are with the programs they are for.

mod coturn_config;
mod mosquitto_acl;
