#!/usr/bin/env bash
# Slurm carries out a job array of `autolr plan --emit slurm` on this machine alone; its daemons are killed in the middle.
# Usage: slurm.sh AUTOLR [FOLDER]. As root. Exit code 3: Slurm or munge is not there.
set -euo pipefail
autolr=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
. "$here/common.sh"
PATH=$PATH:/usr/sbin

for program in slurmctld slurmd sbatch squeue munged; do
    command -v "$program" >/dev/null || {
        echo "$program is missing: apt-get install slurm-wlm munge" >&2
        exit 3
    }
done
[ "$(id -u)" = 0 ] || {
    echo "Slurm's daemons are started as root here" >&2
    exit 3
}

dir=${2:-$(mktemp -d)}
# Those that are running: a number that was given back may be another process's by now.
munge='' controller='' node=''
end() {
    for pid in $controller $node $munge; do kill -KILL "$pid" 2>/dev/null || true; done
    [ -n "${kept:-}" ] || rm -rf "$dir"
}
kept=${2:-}
trap end EXIT
cd "$dir"
chmod 755 .
mkdir -p state spool munge log
chown munge: munge
chmod 755 munge
if [ ! -s /etc/munge/munge.key ]; then
    fail "/etc/munge/munge.key is missing: mungekey --create"
fi
setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --force --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
    --seed-file="$dir/munge/seed" --log-file="$dir/munge/log" >log/munged 2>&1 &
munge=$!
disown
until_true test -S munge/socket

host=$(hostname -s)
cat > slurm.conf <<CONF
ClusterName=autolr
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=30
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$dir/slurm.conf

controller() {
    slurmctld -D >>log/slurmctld.out 2>&1 &
    controller=$!
    disown
}
node() {
    slurmd -D >>log/slurmd.out 2>&1 &
    node=$!
    disown
}
controller
node
# A node on which Slurm found something odd after a failure is drained, until its administrator has had a look.
up() {
    local state
    state=$(sinfo --noheader --format=%T 2>/dev/null) || return 1
    case $state in
    *drain* | down*)
        say "the node is $state: $(sinfo --noheader --format=%E); taken back into service"
        scontrol update nodename="$host" state=resume 2>/dev/null || true
        return 1
        ;;
    idle | mixed | allocated) return 0 ;;
    *) return 1 ;;
    esac
}
until_true up

write_spec spec.toml
"$autolr" sweep spec.toml "${variation[@]}" --out undisturbed >/dev/null
"$autolr" plan spec.toml "${variation[@]}" --runs tasks/runs --emit slurm --out jobs.sh >/dev/null
gone() { up && [ -z "$(squeue --noheader 2>/dev/null || echo unknown)" ]; }

job=$(sbatch --parsable --output="$dir/log/task-%a" jobs.sh)
say "job array $job: $(squeue --noheader --array --job="$job" | wc -l) tasks"
until_true at_least computed tasks 20
# The controller saves its state every few seconds.
sleep 6

kill -KILL "$controller"
controller=
say "slurmctld killed after $(computed tasks) epochs"
sleep 2
controller
until_true up
say "slurmctld is back after $(computed tasks) epochs: its trainings went on"

before=$(computed tasks)
progress() { up && at_least computed tasks $((before + 40)); }
until_true progress
# The node fails: its daemon and all trainings on it.
kill -KILL "$node"
node=
# A training that is at work, or was killed, has its name in its lock.
trainings=$(sed -n 's/^pid \([0-9]*\) on .*/\1/p' tasks/runs/*/lock)
for pid in $trainings; do kill -KILL "$pid" 2>/dev/null || true; done
say "slurmd and $(echo "$trainings" | wc -w) trainings killed after $(computed tasks) epochs"
[ "$(finished tasks)" -lt "$runs" ] || fail "too late: nothing was left to do"
node
until_true up
until_true gone
if [ "$(finished tasks)" -lt "$runs" ]; then
    say "$(finished tasks) of $runs runs finished; the same script is submitted again"
    sbatch --parsable --output="$dir/log/task-%a" jobs.sh >/dev/null
    until_true gone
fi
check tasks undisturbed

before=$(computed tasks)
sbatch --parsable --output="$dir/log/task-%a" jobs.sh >/dev/null
until_true gone
[ "$(computed tasks)" = "$before" ] || fail "finished runs were computed again"
say "slurm: passed"
