package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plannedLink is a network between two hosts.
type plannedLink struct {
	gigabits float64
	delay    time.Duration // in one direction
}

func (l plannedLink) String() string {
	if l.gigabits == 0 {
		return "one host"
	}
	return fmt.Sprintf("%g Gbit/s, %v", l.gigabits, l.delay)
}

// bytes is what arrives of it in a second: packets have headers.
func (l plannedLink) bytes() float64 {
	const headers = 52 // of IP and TCP, with timestamps
	return l.gigabits * 1e9 / 8 * (netMTU - headers) / netMTU
}

// netMTU is large, so that a packet stands for the train of packets that a network card makes of
// one.
const netMTU = 32 << 10

// netHosts are two network namespaces of this machine, which tc and a relay lie between, each with
// a way to this process beside.
type netHosts struct{ names [2]string }

// addresses of the hosts to each other, and of this process to them.
var (
	hostAddresses = [2]string{"10.97.0.1", "10.97.0.2"}
	wayAddresses  = [2]string{"10.98.1.1", "10.98.2.1"}
)

// openHosts makes two namespaces. Without root, ip, tc or what the kernel needs for it the test is
// skipped.
func openHosts(t *testing.T) *netHosts {
	t.Helper()
	removeDeadHosts()
	id := strconv.Itoa(os.Getpid())
	h := &netHosts{[2]string{"lt" + id + "a", "lt" + id + "b"}}
	t.Cleanup(func() {
		for _, n := range h.names {
			_ = exec.Command("ip", "netns", "del", n).Run()
		}
	})
	for i, n := range h.names {
		if err := script(fmt.Sprintf(`ip netns add %[1]s
			ip link add m%[1]s type veth peer name way netns %[1]s
			ip addr add %[2]s/30 dev m%[1]s
			ip link set m%[1]s up
			ip -n %[1]s addr add 10.98.%[3]d.2/30 dev way
			ip -n %[1]s link set way up
			ip netns exec %[1]s sysctl -qw net.ipv4.tcp_congestion_control=reno
			ip -n %[1]s link set lo up`, n, wayAddresses[i], i+1)); err != nil {
			t.Skip("no network namespaces: ", err)
		}
	}
	return h
}

// Namespaces outlive the process that made them, and so does the device that leads to one. A run
// that is killed would make the next one fail at the same addresses.

// hostName is the name of a namespace, which has the id of the process that made it.
var hostName = regexp.MustCompile(`^lt(\d+)[ab]$`)

// deadHosts returns those of the namespaces whose maker is not there any more: a test that is
// killed removes nothing.
func deadHosts(names []string, alive func(pid int) bool) (dead []string) {
	for _, n := range names {
		m := hostName.FindStringSubmatch(n)
		if m == nil {
			continue
		}
		if pid, err := strconv.Atoi(m[1]); err == nil && !alive(pid) {
			dead = append(dead, n)
		}
	}
	return dead
}

// removeDeadHosts removes what tests have left behind that were killed. The way to a namespace goes
// by itself, unless something still runs in there.
func removeDeadHosts() {
	entries, err := os.ReadDir("/var/run/netns")
	if err != nil {
		return // no namespace was ever made
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, n := range deadHosts(names, func(pid int) bool {
		return !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}) {
		_ = exec.Command("ip", "netns", "del", n).Run()
		_ = exec.Command("ip", "link", "del", "m"+n).Run()
	}
}

// TestDeadHosts: what others have made, and what is in use, stays.
func TestDeadHosts(t *testing.T) {
	names := []string{"lt12a", "lt12b", "lt34a", "blue", "lta", "lt12", "lt12c", "mlt12a"}
	got := deadHosts(names, func(pid int) bool { return pid == 34 })
	if want := []string{"lt12a", "lt12b"}; !slices.Equal(got, want) {
		t.Errorf("dead are %v, want %v", got, want)
	}
}

// script runs commands, a line each.
func script(lines string) error {
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.TrimSpace(line), err, out)
		}
	}
	return nil
}

// connect lays a link between the hosts, which ends with the test or the returned function: the
// rate is tc's, the delay that of a relay between two TUN devices, as kernels without netem have
// nothing that delays.
func (h *netHosts) connect(t *testing.T, l plannedLink) (stop func()) {
	t.Helper()
	var ends [2]int
	for i, n := range h.names {
		fd, err := openTUN(n)
		if err != nil {
			t.Skip("no TUN device: ", err)
		}
		ends[i] = fd
		if err := script(fmt.Sprintf(`ip -n %[1]s addr add %[2]s/24 dev lt0
			ip -n %[1]s link set lt0 mtu %[3]d txqueuelen 10000 up
			tc -n %[1]s qdisc add dev lt0 root tbf rate %[4]gmbit burst 256kb latency 200ms`, n,
			hostAddresses[i], netMTU, 1000*l.gigabits)); err != nil {
			t.Skip("no shaped links: ", err)
		}
	}
	relay(ends[0], ends[1], l.delay)
	relay(ends[1], ends[0], l.delay)
	return func() {
		for i, n := range h.names {
			_ = script("ip -n " + n + " link del lt0")
			unix.Close(ends[i])
		}
	}
}

// openTUN makes the device lt0 in a namespace.
func openTUN(namespace string) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // it ends with the goroutine, as its namespace is another one
		var ns int
		if ns, err = unix.Open("/var/run/netns/"+namespace, unix.O_RDONLY, 0); err != nil {
			return
		}
		defer unix.Close(ns)
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return
		}
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR, 0); err != nil {
			return
		}
		var r *unix.Ifreq
		if r, err = unix.NewIfreq("lt0"); err != nil {
			return
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}()
	<-done
	return fd, err
}

// relay passes packets on, each a while after it has come. It ends when its devices do.
func relay(from, to int, delay time.Duration) {
	type packet struct {
		due  time.Time
		data []byte
	}
	const held = 4096
	queue, free := make(chan packet, held), make(chan []byte, held)
	go func() {
		defer close(queue)
		for {
			var b []byte
			select {
			case b = <-free:
			default:
				b = make([]byte, netMTU+100)
			}
			n, err := unix.Read(from, b)
			if err != nil {
				return
			}
			queue <- packet{time.Now().Add(delay), b[:n]}
		}
	}()
	go func() {
		runtime.LockOSThread()
		for p := range queue {
			if wait := time.Until(p.due); wait > 0 {
				ts := unix.NsecToTimespec(wait.Nanoseconds())
				_ = unix.Nanosleep(&ts, nil) // the runtime's timers are as coarse as a millisecond
			}
			_, _ = unix.Write(to, p.data)
			select {
			case free <- p.data[:cap(p.data)]:
			default:
			}
		}
	}()
}
