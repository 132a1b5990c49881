# The published workloads, each by asirun, in the guest: usage: sh all.sh SIZE MODES ROUNDS WORKLOAD...
# SIZE is full or small (tests/run). Programs and data are where tools/workloads puts them. Ends with 1 when one failed.
set -u
PATH=/usr/bin:/bin:/sbin
HOME=/tmp
export PATH HOME
size=$1 modes=$2 rounds=$3
shift 3
failed=0

if [ "$size" = full ]; then
    reads=64m file=8m rows=5 processes=1000 turns=20
else
    reads=1m file=4m rows=1 processes=40 turns=3
fi

# measure NAME [OPTION...] COMMAND...
measure() {
    name=$1
    shift
    asirun --csv --output=none --modes="$modes" --rounds="$rounds" --name="$name" "$@"
    status=$?
    if [ $status != 0 ]; then
        echo "workloads: $name ended with status $status"
        failed=1
    fi
}

# fio_read NAME DIRECTORY ENGINE JOBS: 4 KiB random reads, by processes that share a file
fio_read() {
    measure "$1" fio --name=read --filename="$2/fio.data" --size=$file --bs=4k --rw=randread --ioengine="$3" \
        --numjobs="$4" --io_size=$reads --norandommap --randrepeat=1 --group_reporting --output=/dev/null
}

for workload in "$@"; do
    case $workload in
    fio)
        for engine in psync mmap; do
            for jobs in 1 4; do
                fio_read "fio-$engine-$jobs" /tmp $engine $jobs
            done
        done
        rm -f /tmp/fio.data
        ;;
    fio-ext4)
        for engine in psync mmap; do
            for jobs in 1 4; do
                fio_read "fio-ext4-$engine-$jobs" /mnt $engine $jobs
            done
        done
        ;;
    build) measure build --before='/usr/bin/rm -rf /tmp/build && /usr/bin/mkdir /tmp/build' make -s -C /tmp/build -f /bench/lua.mk ;;
    git) measure git-status git -C /usr/src/tree status ;;
    sqlite) measure sqlite --before='/usr/bin/rm -f /tmp/test.db' sh /bench/sqlite.sh $rows ;;
    shell) measure shell sh /bench/shell.sh $processes ;;
    dynamic) measure dynamic /debian/bin/bash /bench/dynamic.sh $turns ;;
    *) echo "workloads: no workload is called $workload" ;;
    esac
done
exit $failed
