# Takes a user's key out of authorized_keys, and sudo's rule out of what cloud-init wrote. `key` and `user` are set before.
while IFS=: read -r name _ _ _ _ home _; do
    keys=$home/.ssh/authorized_keys
    if [ "$name" != "$user" ] || [ ! -f "$keys" ]; then continue; fi
    # cloud-init may have put options before the key.
    grep -v -F -- "$key" "$keys" >"$keys.kiln" || :
    # Copied, so that owner and mode stay.
    cat "$keys.kiln" >"$keys"
    rm -f "$keys.kiln"
    if ! grep -q '[^[:space:]]' "$keys"; then
        rm -f "$keys"
        rmdir "$home/.ssh" 2>/dev/null || :
    fi
done </etc/passwd
rules=/etc/sudoers.d/90-cloud-init-users
if [ "$user" != root ] && [ -f "$rules" ]; then
    grep -v -e "^$user ALL=(ALL) NOPASSWD:ALL" -e "^# User rules for $user\$" "$rules" >"$rules.kiln" || :
    cat "$rules.kiln" >"$rules"
    rm -f "$rules.kiln"
    grep -q '^[^#]*[^#[:space:]]' "$rules" || rm -f "$rules"
fi
true
