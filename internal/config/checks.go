package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// check returns what is allowed if a value is not, else "". Its text completes "allowed: ..." in
// the error that the user reads. It is called with a value of the setting's type, after convert.
type check func(value any) (allowed string)

const (
	// Bounds counts, so that digits typed by mistake are refused at the start and do not exhaust
	// the memory later.
	manyMax = 1_000_000
	// Bounds times to wait for something; beyond it the wait is a mistake.
	longest = 30 * 24 * time.Hour
)

// checks are by key, since the same key means the same in every program. A setting that is not here
// may have any value of its type, or is checked where it is used, as files and directories are. A
// test holds the defaults to them, and every key to be a setting.
var checks = map[string]check{
	"log.level":              oneOf("debug", "info", "warn", "error"),
	"log.format":             oneOf("text", "json"),
	"id":                     aName,
	"host":                   aLabel,
	"rack":                   aLabel,
	"http.listen":            anAddress,
	"http.url":               httpURL,
	"listen":                 anAddress,
	"http.default-format":    oneOf("webm", "mp4", "png"),
	"http.fetch-urls":        oneOf("off", "https", "any"),
	"nats.listen":            anAddress,
	"nats.routes":            anAddress,
	"raft.listen":            anAddress,
	"limits.queued":          between(1, manyMax),
	"limits.kept":            between(1, manyMax),
	"limits.nodes":           between(1, manyMax),
	"limits.request-time":    lasting(0, 10*365*24*time.Hour),
	"limits.request-tokens":  between(1, 1<<25),
	"audit.prompts":          oneOf("hash", "keep", "omit"),
	"audit.keep-for":         lasting(0, 100*365*24*time.Hour),
	"checkpoint.every-steps": between(0, manyMax),
	"preview.every-steps":    between(0, manyMax),
	"tls.cert-life":          lasting(time.Minute, 365*24*time.Hour),
	"lost-after":             lasting(600*time.Millisecond, longest),
	"device":                 aDevice,
	"gpus":                   gpuList,
	"dtype":                  oneOf(append(compute.DTypeNames(), "auto")...),
	"vae-dtype":              oneOf("fp32", "bf16"),
	"experts":                oneOf("auto", "resident", "swap"),
	"text-encoder":           oneOf("auto", "resident", "stream"),
	"threads":                between(0, 1024),
	"transport":              oneOf("nats", "mem"),
	"control":                natsURLs,
	"data.listen":            anAddress,
	"data.advertise":         aTarget,
	"data.url":               natsURLs,
	"data.peer-timeout":      lasting(100*time.Millisecond, longest),
	"drain-timeout":          lasting(0, longest),

	"data.transport":          oneOf("auto", "nats", "direct"),
	"data.direct-addr":        anAddress,
	"data.direct-advertise":   aTarget,
	"data.direct-connections": between(1, 16),
}

// between allows integers of a range, both ends included.
func between(low, high int) check {
	return func(value any) string {
		if n, ok := value.(int); ok && n >= low && n <= high {
			return ""
		}
		return fmt.Sprintf("%d to %d", low, high)
	}
}

// lasting allows durations of a range, both ends included.
func lasting(low, high time.Duration) check {
	return func(value any) string {
		if d, ok := value.(time.Duration); ok && d >= low && d <= high {
			return ""
		}
		return fmt.Sprintf("%v to %v", low, high)
	}
}

// oneOf allows some texts, in exactly this spelling.
func oneOf(texts ...string) check {
	return func(value any) string {
		if s, ok := value.(string); ok && slices.Contains(texts, s) {
			return ""
		}
		return strings.Join(texts, ", ")
	}
}

// aName allows what can be part of a file name, a NATS subject and a URL. It becomes part of each
// of them without being escaped.
func aName(value any) string {
	s, ok := value.(string)
	if ok && job.CheckName("", s) == nil {
		return ""
	}
	return job.NameAllowed
}

// aLabel allows what names a host or a rack.
func aLabel(value any) string {
	if s, ok := value.(string); ok && topology.CheckLabel(s) == nil {
		return ""
	}
	return topology.LabelAllowed
}

// anAddress allows host:port, and nothing, which means the setting's default. Whether the address
// can be bound is found out when the program listens.
func anAddress(value any) string {
	s, _ := value.(string)
	_, port, err := net.SplitHostPort(s)
	if s == "" || err == nil && isPort(port) {
		return ""
	}
	return "host:port, with a port of 0 to 65535"
}

// aTarget allows host:port that others can dial, and nothing, which means the setting's default.
func aTarget(value any) string {
	s, _ := value.(string)
	host, port, err := net.SplitHostPort(s)
	ip := net.ParseIP(host)
	if s == "" || err == nil && isPort(port) && strings.Trim(port, "0") != "" && host != "" &&
		(ip == nil || !ip.IsUnspecified()) {
		return ""
	}
	return "host:port that others can dial, with a port of 1 to 65535"
}

// isPort reports whether s is a port, 0 included.
func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// aDevice allows a kind of device, or GPUs by number. Whether they are there is found out when they
// are opened.
func aDevice(value any) string {
	s, _ := value.(string)
	list, some := strings.CutPrefix(s, "cuda:")
	kind := slices.Contains([]string{"cpu", "cuda", "auto"}, s)
	if kind || some && list != "" && gpuList(list) == "" {
		return ""
	}
	return "cpu, cuda, auto, cuda:N, or several as cuda:0,1"
}

// gpuList allows "all", or numbers separated by commas, or nothing.
func gpuList(value any) string {
	s, _ := value.(string)
	if s == "" || s == "all" {
		return ""
	}
	for _, n := range strings.Split(s, ",") {
		if _, err := strconv.ParseUint(strings.TrimSpace(n), 10, 16); err != nil {
			return "all, or numbers such as 0,1"
		}
	}
	return ""
}

// httpURL allows an HTTP or HTTPS URL with a host, or nothing.
func httpURL(value any) string {
	s, _ := value.(string)
	u, err := url.Parse(s)
	if s == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return ""
	}
	return "a URL such as http://host:8080"
}

// natsURLs allows a list of NATS servers, separated by commas, or nothing. The NATS client takes
// the same list, and would report a broken entry only when it fails to connect.
func natsURLs(value any) string {
	text, _ := value.(string)
	for _, s := range strings.Split(text, ",") {
		if s = strings.TrimSpace(s); text != "" && !isNATS(s) {
			return "nats://host:port, several separated by commas"
		}
	}
	return ""
}

// isNATS reports whether a client could dial s, in which nats:// may be left out.
func isNATS(s string) bool {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	return err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) &&
		u.Hostname() != "" && (u.Port() == "" || isPort(u.Port()))
}
