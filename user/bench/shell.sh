# A script of N small processes, as configure scripts have them: busybox, by its own sh. usage: sh shell.sh N
i=0
while [ $i -lt "$1" ]; do
    name=/usr/share/doc/file$i.txt
    /usr/bin/basename $name .txt >/tmp/word
    /usr/bin/cat /tmp/word >/dev/null
    sum=$(/usr/bin/expr $i + 4)
    /usr/bin/test -f /tmp/word
    i=$sum
done
/usr/bin/cat /tmp/word
