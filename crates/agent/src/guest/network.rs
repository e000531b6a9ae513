//! The network card's fixed settings, through rtnetlink(7).
//!
//! ```text
//! nlmsghdr   0 u32 length   4 u16 type   6 u16 flags   8 u32 sequence   12 u32 port
//! 16         ifinfomsg, ifaddrmsg or rtmsg
//! rtattr     0 u16 length   2 u16 type   4 value, padded to 4 bytes
//! answer     nlmsghdr, then i32 error: 0 or a negative errno
//! ```

use super::failure::{Doing, Failure};
use crate::model::Network;
use rustix::{
    io::{self, Errno},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink, recv,
        sendto, socket_with,
    },
};
use std::{
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// Request and acknowledge: what changes something that is there.
const CHANGE: u16 = 0x1 | 0x4;
/// Create or replace.
const MAKE: u16 = CHANGE | 0x400 | 0x100;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;

/// How long the card may take to appear.
const PATIENCE: Duration = Duration::from_secs(10);

/// Brings up loopback, and the card where there are settings for it.
pub(crate) fn set_up(network: Option<&Network>) -> Result<(), Failure> {
    let mut route = Route::open().doing(|| "opening rtnetlink".to_owned())?;
    let lo = index("lo").unwrap_or(1);
    route.up(lo).doing(|| "bringing up lo".to_owned())?;
    route.address(lo, [127, 0, 0, 1], 8).doing(|| "setting the address of lo".to_owned())?;
    let Some(network) = network else { return Ok(()) };
    let card = card()?;
    route.up(card).doing(|| "bringing up the network card".to_owned())?;
    route.address(card, network.address, network.prefix).doing(|| "setting the card's address".to_owned())?;
    route.gateway(card, network.gateway).doing(|| "setting the default route".to_owned())
}

/// Waits for the first network interface that is a device.
fn card() -> Result<u32, Failure> {
    let started = Instant::now();
    loop {
        let entries = fs_err::read_dir("/sys/class/net").map(|entries| entries.flatten().collect::<Vec<_>>());
        let mut names: Vec<_> = entries.unwrap_or_default().into_iter().collect();
        names.retain(|entry| entry.path().join("device").exists());
        names.sort_by_key(|entry| entry.file_name());
        let first = names.first().and_then(|entry| index(&entry.file_name().to_string_lossy()));
        match first {
            Some(index) => return Ok(index),
            None if started.elapsed() > PATIENCE => {
                return Err(Failure::new("no network card appeared; its module may be missing"));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn index(name: &str) -> Option<u32> {
    fs_err::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex")).ok()?.trim().parse().ok()
}

struct Route {
    socket: OwnedFd,
    sequence: u32,
}

impl Route {
    fn open() -> io::Result<Self> {
        // NETLINK_ROUTE is protocol 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    fn up(&mut self, index: u32) -> io::Result<()> {
        // family, padding, type, index, flags, which flags to change
        let mut body = vec![0; 4];
        for word in [index, IFF_UP, IFF_UP] {
            body.extend_from_slice(&word.to_ne_bytes());
        }
        self.ask(RTM_NEWLINK, CHANGE, body)
    }

    fn address(&mut self, index: u32, address: [u8; 4], prefix: u8) -> io::Result<()> {
        // family, prefix, flags, scope, index
        let mut body = vec![AF_INET, prefix, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, address);
        attribute(&mut body, IFA_ADDRESS, address);
        self.ask(RTM_NEWADDR, MAKE, body)
    }

    fn gateway(&mut self, index: u32, gateway: [u8; 4]) -> io::Result<()> {
        // family, lengths of destination and source, TOS, main table, made at boot, everywhere, unicast, flags
        let mut body = vec![AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        attribute(&mut body, RTA_GATEWAY, gateway);
        attribute(&mut body, RTA_OIF, index.to_ne_bytes());
        self.ask(RTM_NEWROUTE, MAKE, body)
    }

    /// Sends a message and waits for its acknowledgement. What is there already is as good as made.
    fn ask(&mut self, kind: u16, flags: u16, body: Vec<u8>) -> io::Result<()> {
        self.sequence += 1;
        let length = u32::try_from(16 + body.len()).map_err(|_too_long| Errno::INVAL)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend(body);
        sendto(&self.socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = [0; 1024];
        let (count, _) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        let error =
            answer[..count].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        match error {
            Some(0) => Ok(()),
            Some(error) if -error == Errno::EXIST.raw_os_error() => Ok(()),
            Some(error) => Err(Errno::from_raw_os_error(-error)),
            None => Err(Errno::BADMSG),
        }
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend_from_slice(&8_u16.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(&value);
}
