#!/bin/sh
# The tiny base's initramfs: modules in load order, then the root that the kernel's command line names.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module"; done
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
tries=0
until device=$(findfs "$root" 2>/dev/null); do
    tries=$((tries + 1))
    if [ $tries -gt 100 ]; then echo "tiny: no $root"; exec sh; fi
    sleep 0.1
done
mount -t ext4 -o ro "$device" /root || exec sh
umount /sys /proc
mount --move /dev /root/dev
exec switch_root /root /sbin/init
