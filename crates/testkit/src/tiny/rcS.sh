#!/bin/sh
# The tiny base's start: file systems, an address, the marker, then what a test put into /etc/rc.local.
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sys /sys 2>/dev/null
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=0755 run /run
mount -o remount,rw /
hostname -F /etc/hostname
ifconfig lo up
if [ -e /sys/class/net/eth0 ]; then
    ifconfig eth0 up
    udhcpc -i eth0 -b -q -s /etc/udhcpc.script >/dev/null 2>&1 &
fi
echo KILN-TINY-UP
if [ -e /etc/rc.local ]; then sh /etc/rc.local; fi
