#!/bin/sh
# Gives the network card QEMU's fixed addresses and starts an SSH server of the build's own. What it writes lies in /run.

# A card is touched once udev has named it.
card=
tries=0
while [ -z "$card" ] && [ $tries -lt 600 ]; do
    for path in /sys/class/net/*; do
        index=$(cat "$path/ifindex" 2>/dev/null)
        if [ -e "$path/device" ] && [ -e "/run/udev/data/n$index" ]; then card=${path##*/}; break; fi
    done
    [ -n "$card" ] || sleep 0.1
    tries=$((tries + 1))
done
if command -v ip >/dev/null; then
    ip link set dev "$card" up
    ip -4 addr add 10.0.2.15/24 dev "$card" 2>/dev/null
    ip -4 route add default via 10.0.2.2 2>/dev/null
else
    ifconfig "$card" 10.0.2.15 netmask 255.255.255.0 up
    route add default gw 10.0.2.2
fi

mkdir -p /run/kiln-build /run/systemd/resolved.conf.d /run/sshd
echo 'nameserver 10.0.2.3' >/run/kiln-build/resolv.conf
printf '[Resolve]\nDNS=10.0.2.3\n' >/run/systemd/resolved.conf.d/kiln-build.conf
# A file is covered; where a link leads into /run, nothing has to be taken out again.
if [ -f /etc/resolv.conf ]; then
    mount --bind /run/kiln-build/resolv.conf /etc/resolv.conf
elif [ -L /etc/resolv.conf ]; then
    case $(readlink -m /etc/resolv.conf) in
    /run/*)
        real=$(readlink -m /etc/resolv.conf)
        mkdir -p "${real%/*}"
        cp /run/kiln-build/resolv.conf "$real"
        ;;
    esac
fi
exec /usr/sbin/sshd -D -e -f /etc/kiln-build/sshd_config
