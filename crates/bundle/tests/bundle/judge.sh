# Takes the bundle b/disk.manifest.xml apart and compares what comes out with the disk: xmllint, openssl, gzip and tar.
set -e
m=b/disk.manifest.xml
xmllint --noout $m
get() { xmllint --xpath "string($1)" $m; }
bytes() { tr -d '\n' | sed 's/../\\x&/g' | xargs -0 printf; }
for who in user ec2; do
    for what in key iv; do
        get "//image/${who}_encrypted_$what" | bytes > wrapped
        openssl pkeyutl -decrypt -inkey $who.key -in wrapped > $who.$what.hex
        test "$(wc -c < $who.$what.hex)" = 32
    done
done
cmp ec2.key.hex user.key.hex
cmp ec2.iv.hex user.iv.hex
count=$(get '//parts/@count')
for n in $(seq "$count"); do
    name=$(get "//part[$n]/filename")
    test "$(get "//part[$n]/@index")" = $((n - 1))
    test "$(get "//part[$n]/digest")" = "$(sha1sum < b/$name | cut -d' ' -f1)"
    cat b/$name
done > stream
test "$(get //bundled_size)" = "$(stat -c %s stream)"
test "$(ls b | wc -l)" = $((count + 1))
openssl enc -d -aes-128-cbc -K "$(cat user.key.hex)" -iv "$(cat user.iv.hex)" -in stream > archive.gz
gzip -dc < archive.gz > archive
test "$(get //image/digest)" = "$(sha1sum < archive | cut -d' ' -f1)"
test $(($(stat -c %s archive) % 10240)) = 0
test "$(get //image/size)" = "$(stat -c %s disk.raw)"
mkdir out
tar -xSf archive -C out
test "$(ls out)" = disk
cmp disk.raw out/disk
sed 's/.*\(<machine_configuration>.*<\/image>\).*/\1/' $m | tr -d '\n' > signed
get //signature | bytes > signature
openssl x509 -in user.pem -noout -pubkey > user.pub
openssl dgst -sha1 -verify user.pub -signature signature signed
rm -r out archive archive.gz stream
