//! The packaged templates, unchanged, with the programs that they configure.

mod coturn_config;
mod mosquitto_acl;
