#!/bin/sh
# An installer: asks for a name, fetches its answers, fills the disk, ends. Its words go to the screen and the serial port, its
# keys come from the keyboard.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module"; done
say() { echo "$*" >/dev/tty1; echo "$*" >/dev/ttyS0; }
fail() { say "KILN-INSTALLER-FAILED: $*"; poweroff -f; }
url= end=poweroff
for word in $(cat /proc/cmdline); do
    case $word in url=*) url=${word#url=} ;; end=*) end=${word#end=} ;; esac
done
say "Name of this machine:"
IFS= read -r name </dev/tty1 || fail "no name"
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up || fail "no network card"
wget -q -O /answers "$url" 2>/dev/ttyS0 || fail "cannot fetch $url"
printf 'o\nn\np\n1\n2048\n\nw\n' | fdisk -u /dev/vda >/dev/null 2>&1
tries=0
until [ -b /dev/vda1 ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail "no partition"
    sleep 0.1
done
gunzip -c /root.img.gz | dd of=/dev/vda1 bs=1M 2>/dev/null || fail "cannot write the root"
mount -t ext4 /dev/vda1 /root || fail "cannot mount the root"
echo "$name" >/root/etc/name
cp /answers /root/etc/answers || fail "cannot write"
# A medium with more answers is the second disk: the kernel has no driver for a CD's drive.
if [ -b /dev/vdb ]; then
    mkdir /medium
    mount -t iso9660 -o ro /dev/vdb /medium || fail "cannot mount the medium"
    cp -r /medium /root/etc/answers.d || fail "cannot copy the medium"
fi
umount /root || fail "cannot unmount the root"
sync
say "KILN-INSTALLED"
[ "$end" = reboot ] && reboot -f
poweroff -f
