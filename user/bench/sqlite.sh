# sqlite's own speed test on a database in a file, and then whether the database is whole. usage: sh sqlite.sh SIZE
set -e
speedtest1 --size "$1" /tmp/test.db >/tmp/speedtest1.log # times, which differ
sqlite3 /tmp/test.db 'PRAGMA integrity_check; SELECT count(*), total(a) FROM z1;'
