# Puts what is whole into its place. A place that is a link to a file stays a link: the file is replaced.
place() {
    if [ -L "$2" ] && [ ! -L "$1" ]; then set -- "$1" "$(readlink -f -- "$2" || echo "$2")"; fi
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        echo "$2 is a folder" >&2
    elif mv -f -- "$1" "$2"; then
        return
    fi
    rm -f -- "$1"
    exit 1
}
