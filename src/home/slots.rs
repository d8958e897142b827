//! How many connections the HTTPS server holds: in all, and of one address. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The connections that are open, by address.
#[derive(Debug)]
pub struct Slots {
    all: usize,
    each: usize,
    open: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// All are in use.
    #[error("too many connections")]
    InAll,
    /// This address uses all that it may have.
    #[error("too many connections of this address")]
    OfAddress,
}

/// One connection. Dropping it frees its slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<Mutex<Slots>>,
    address: IpAddr,
}

impl Slots {
    /// At most `all` connections, and `each` of one address.
    pub fn new(all: usize, each: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { all, each, open: 0, by_address: HashMap::new() }))
    }

    fn take(&mut self, address: IpAddr) -> Result<(), NoSlot> {
        if self.open >= self.all {
            return Err(NoSlot::InAll);
        }
        let own = self.by_address.get(&address).copied().unwrap_or_default();
        if own >= self.each {
            return Err(NoSlot::OfAddress);
        }
        self.by_address.insert(address, own + 1);
        self.open += 1;
        Ok(())
    }

    fn free(&mut self, address: IpAddr) {
        let Some(own) = self.by_address.get_mut(&address) else { return };
        *own = own.saturating_sub(1);
        if *own == 0 {
            self.by_address.remove(&address);
        }
        self.open = self.open.saturating_sub(1);
    }
}

impl ConnectionSlot {
    /// Takes a slot for a connection from this address.
    pub fn take(slots: &Arc<Mutex<Slots>>, from: IpAddr) -> Result<Self, NoSlot> {
        let address = neighbourhood(from);
        slots.lock().unwrap_or_else(PoisonError::into_inner).take(address)?;
        Ok(Self { slots: Arc::clone(slots), address })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).free(self.address);
    }
}

/// Addresses that count as one: a host has as many IPv6 addresses as it likes in its /64, or in the link-local range.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        // All link-local addresses of a network share one /64, and are of different hosts.
        IpAddr::V6(ip) if ip.is_unicast_link_local() => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_slots_of_the_others() {
        let slots = Slots::new(4, 2);
        let take = |ip: &str| ConnectionSlot::take(&slots, ip.parse().unwrap());
        let [one, _two] = [take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert_eq!(take("10.0.0.1").unwrap_err(), NoSlot::OfAddress);
        let _three = take("fd00::1").unwrap();
        let _four = take("fd00::2").unwrap();
        assert_eq!(take("10.0.0.9").unwrap_err(), NoSlot::InAll);
        drop(one);
        assert_eq!(take("fd00::3").unwrap_err(), NoSlot::OfAddress, "a /64 counts as one");
        let again = take("10.0.0.1").unwrap();
        drop((again, _two, _three, _four));
        let slots = slots.lock().unwrap();
        assert_eq!((slots.open, slots.by_address.len()), (0, 0));
    }
}
