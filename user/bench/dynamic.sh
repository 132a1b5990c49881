# N rounds of commands as Debian has them, dynamic, each with its libraries by ld.so: bash, coreutils and git, in the file
# system in memory. usage: bash dynamic.sh N
set -u
export PATH=/debian/bin LC_ALL=C TZ=UTC0
cd /tmp && rm -rf dynamic && mkdir dynamic && cd dynamic || exit 1
for ((i = 0; i < $1; i++)); do
    seq 100 | sort -n | tail -1 >last
    name=$(basename "/usr/share/doc/file$i.txt" .txt)
    cp last "$name"
    ls -l "$name" >list
    cat "$name" list >both
    wc -c <both >size
    mv "$name" old
    test "$(expr "$i" % 10)" != 0 || git -C /usr/src/tree log --format=%s >subject
    rm old both size
done
cat last subject
