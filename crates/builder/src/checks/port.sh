# $1: a TCP port on which somebody listens (state 0A of proc_net_tcp(5)).
port=$(printf %04X "$1")
if grep -Eqs ":$port [0-9A-F]+:[0-9A-F]+ 0A " /proc/net/tcp /proc/net/tcp6; then
    exit 0
fi
echo "nobody listens on TCP port $1"
exit 75
