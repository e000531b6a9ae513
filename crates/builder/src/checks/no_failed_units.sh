# All that starts with the system has started.
if ! command -v systemctl >/dev/null; then
    echo "there is no systemd"
    exit 1
fi
state=$(systemctl is-system-running 2>/dev/null)
case $state in
running) exit 0 ;;
initializing | starting | '')
    echo "the system is ${state:-not up}"
    exit 75
    ;;
esac
failed=$(systemctl list-units --failed --plain --no-legend)
[ -n "$failed" ] || exit 0
echo "$failed"
exit 1
