# $1: a unit that is active; $2: whether it is enabled, `true`, `false` or nothing.
if ! command -v systemctl >/dev/null; then
    echo "there is no systemd"
    exit 1
fi
state=$(systemctl is-active "$1" 2>&1)
case $state in
active) ;;
failed)
    echo "$1 has failed"
    systemctl status --no-pager --lines 10 "$1" 2>&1
    exit 1
    ;;
*)
    echo "$1 is $state"
    exit 75
    ;;
esac
[ -n "$2" ] || exit 0
if state=$(systemctl is-enabled "$1" 2>&1); then enabled=true; else enabled=false; fi
[ "$enabled" = "$2" ] && exit 0
echo "$1 is ${state:-not known}"
exit 1
