//! rtnetlink(7): the kernel's own way to ask for and change interfaces, addresses and routes.
//! A request is one message, its answer another one. What `ip link`, `ip address` and `ip route`
//! do is the functions below; each is one round trip.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

/// In every network namespace the loopback interface is the first one.
pub const LOOPBACK: u32 = 1;

/// For requests that make something: an error if it is already there.
const NEW: u16 = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

/// A socket to the network namespace that this process is in when it opens it.
pub struct Netlink(Socket);

impl Netlink {
    pub fn open() -> Result<Netlink> {
        let open = || {
            let socket = Socket::new(NETLINK_ROUTE)?;
            socket.connect(&SocketAddr::new(0, 0)).map(|()| socket)
        };
        open().map(Netlink).context("cannot open a netlink socket to the kernel")
    }

    /// One round trip. A change is answered by an acknowledgement or an errno, a question by the
    /// answer or an errno: exactly one message each, as long as nobody asks for a dump.
    fn ask(&mut self, message: Message, flags: u16) -> Result<NetlinkPayload<Message>> {
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), message.into());
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;

        let (reply, _) = self.0.recv_from_full()?;
        match NetlinkMessage::deserialize(&reply)?.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                Err(Errno::from_raw(-error.raw_code()).into())
            }
            payload => Ok(payload),
        }
    }

    /// Makes the link that `message` describes: `ip link add`.
    pub fn add_link(&mut self, message: LinkMessage) -> Result<()> {
        self.ask(Message::NewLink(message), NEW).map(drop)
    }

    /// All that the kernel says of the link with this name: `ip link show dev NAME`.
    pub fn link(&mut self, name: &str) -> Result<LinkMessage> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        let reply = self.ask(Message::GetLink(message), 0);
        match reply.with_context(|| format!("cannot find the link {name}"))? {
            NetlinkPayload::InnerMessage(Message::NewLink(link)) => Ok(link),
            other => bail!("cannot find the link {name}: the kernel answered {other:?}"),
        }
    }

    /// Switches a link on: `ip link set dev LINK up`, rtnetlink(7).
    ///
    /// RTM_SETLINK (`Message::SetLink`) with the link's index. Of its flags only `Up` is to change,
    /// so `Up` is in the flags and in `change_mask`. The kernel is asked to acknowledge: NLM_F_ACK.
    ///
    /// Exercise 5.2
    pub fn set_up(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(Message::SetLink(message), NLM_F_ACK)
            .with_context(|| format!("cannot switch on link {index}"))?;
        Ok(())
    }

    /// Takes a link away, and with one end of a veth pair the other one: `ip link delete`.
    /// One that is already gone is no error.
    pub fn delete_link(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.ask(Message::DelLink(message), NLM_F_ACK) {
            Err(error) if error.downcast_ref() == Some(&Errno::ENODEV) => Ok(()),
            result => result.map(drop).with_context(|| format!("cannot delete link {index}")),
        }
    }

    /// `ip address add ADDRESS/PREFIX dev LINK`. The kernel adds a route to all in the prefix.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.attributes.push(AddressAttribute::Local(address.into()));
        self.ask(Message::NewAddress(message), NEW)
            .with_context(|| format!("cannot give link {index} the address {address}/{prefix}"))?;
        Ok(())
    }

    /// `ip route add default via GATEWAY`, rtnetlink(7).
    ///
    /// RTM_NEWROUTE (`Message::NewRoute`, flags `NEW`) in the main table, unicast, set up at boot
    /// time (that is what `ip` says of its own), and of family Inet. A route without a destination
    /// is for all; its one attribute is the gateway.
    ///
    /// Exercise 5.5
    pub fn add_default_route(&mut self, gateway: Ipv4Addr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        self.ask(Message::NewRoute(message), NEW)
            .with_context(|| format!("cannot add the default route through {gateway}"))?;
        Ok(())
    }

    /// The route that a packet to `address` would take, as it stands in the table:
    /// `ip route get fibmatch ADDRESS`. `None` where the packet could not be sent.
    pub fn route_to(&mut self, address: Ipv4Addr) -> Result<Option<RouteMessage>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 32;
        message.header.flags = RouteFlags::FibMatch;
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(address)));
        match self.ask(Message::GetRoute(message), 0) {
            Ok(NetlinkPayload::InnerMessage(Message::NewRoute(route))) => Ok(Some(route)),
            Ok(other) => bail!("cannot ask for the route to {address}: got {other:?}"),
            Err(error) => match error.downcast_ref() {
                Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH) => Ok(None),
                _ => Err(error.context(format!("cannot ask for the route to {address}"))),
            },
        }
    }
}
