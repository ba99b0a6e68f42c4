"""Files as kernels write them: those of version 1 and of /proc from a machine, of version 2 as documented."""

V2 = {
    "cpu.stat": (
        "usage_usec 5120345\nuser_usec 4000000\nsystem_usec 1120345\ncore_sched.force_idle_usec 0\n"
        "nr_periods 812\nnr_throttled 12\nthrottled_usec 345678\nnr_bursts 0\nburst_usec 0\n"
    ),
    "cpu.max": "75000 100000\n",
    "memory.current": "104857600\n",
    "memory.peak": "209715200\n",
    "memory.max": "536870912\n",
    "memory.stat": (
        "anon 41943040\nfile 52428800\nkernel 4194304\nshmem 0\ninactive_anon 0\nactive_anon 41943040\n"
        "inactive_file 20971520\nactive_file 31457280\nworkingset_refault_anon 0\n"
    ),
    "memory.events": "low 0\nhigh 0\nmax 44\noom 2\noom_kill 2\noom_group_kill 0\n",
    "io.stat": (
        "254:0 rbytes=1024000 wbytes=4096 rios=20 wios=1 dbytes=0 dios=0\n"
        "7:0 \n"
        "8:16 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=8388608 dios=1\n"
    ),
    "pids.current": "17\n",
    "pids.max": "512\n",
    "cgroup.procs": "",
}
"""The files of a slice; processes are in the units below it."""

V1 = {
    "cpuacct": {"cpuacct.usage": "5120345678\n"},
    "cpu": {
        "cpu.cfs_quota_us": "75000\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 812\nnr_throttled 12\nthrottled_time 345678000\nnr_bursts 0\nburst_time 0\n",
    },
    "memory": {
        "memory.usage_in_bytes": "104857600\n",
        "memory.max_usage_in_bytes": "209715200\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.stat": "cache 52428800\ninactive_file 1\ntotal_cache 1\ntotal_inactive_file 20971520\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    },
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": (
            "254:0 Read 8388608\n254:0 Write 12599296\n254:0 Sync 29376512\n254:0 Async 0\n"
            "254:0 Discard 8388608\n254:0 Total 29376512\nTotal 29376512\n"
        )
    },
    "pids": {"pids.current": "17\n", "pids.max": "max\n"},
    "systemd": {"cgroup.procs": ""},
}

STAT = """\
cpu  31760 12 8118 134934 1245 3 329 88 40 0
cpu0 10129 6 3584 73917 480 1 27 50 20 0
cpu1 21631 6 4534 61016 765 2 301 38 20 0
intr 578300 0 0 0 1 0
ctxt 1234567
btime 1763769000
processes 20138
procs_running 3
procs_blocked 0
softirq 99 1 2 3
"""
MEMINFO = """\
MemTotal:       24684084 kB
MemFree:        22047656 kB
MemAvailable:   23868336 kB
Buffers:           43660 kB
Cached:          1819332 kB
HugePages_Total:       0
"""
LOADAVG = "1.52 1.02 0.48 3/130 20138\n"
_HEAD = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs ...
"""
NET_DEV = f"""{_HEAD}\
    lo:    3193      29    0    0    0     0          0         0     3193      29 0 0 0 0 0 0
  eth0: 1101597257   26435    0    0    0     0          0         0  1598411   13353 0 0 0 0 0 0
 wg0:10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0
"""
OWN_V1 = """\
9:name=systemd:/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service
4:memory:/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service
2:cpu,cpuacct:/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service
0::/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service
"""
OWN_V2 = "0::/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service\n"
OWN_NESTED = "4:memory:/machines/rdp1/lucid.slice/lucid-rdp.slice/lucid-resource-monitor.service\n"
