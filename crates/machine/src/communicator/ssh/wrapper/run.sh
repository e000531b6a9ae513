# Runs the arguments in a session of their own. Descriptor 3 is the connection: a signal that is named there goes to the
# program and what it started, and its end kills them.
new_session=$(command -v setsid)
$new_session "$@" 3<&- &
program=$!
send() {
    kill "-$1" "-$program" || kill "-$1" "$program"
}
{
    while IFS= read -r signal <&3; do send "$signal"; done
    send KILL
} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
echo "$program" >>/run/kiln/groups
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
