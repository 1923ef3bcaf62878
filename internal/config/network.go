package config

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// network are the settings of every program that opens ports: either all of them have certificates,
// or the network around them is trusted, and somebody has said so.
var network = Settings{
	{Key: "tls.dir", Default: "", Usage: "folder with ca.crt, tls.crt and tls.key, as longtake pki " +
		"init and --join make it, or your own PKI: from then on all ports speak TLS 1.3"},
	{Key: "insecure-network", Default: false, Usage: "open ports to other machines without " +
		"certificates and keys: whoever reaches them reads prompts, changes clips and gives orders"},
}

// certLife is of the certificates that coordinators sign.
var certLife = Settings{{Key: "tls.cert-life", Default: 24 * time.Hour, Usage: "how long " +
	"certificates are valid that this coordinator signs; processes renew theirs after two thirds"}}

// joining are the settings of programs that get their certificate from the cluster.
var joining = Settings{
	{Key: "join", Default: "", Secret: true, Usage: "token of longtake pki token, with which this " +
		"process gets its first certificate into tls.dir; once it is there, the token is not needed"},
	{Key: "coordinator", Default: []string{}, Usage: "https URLs of coordinators, of which one has " +
		"to answer a process that joins"},
}

// ports are the settings at which programs listen. The address of a port that is on no other
// interface than loopback is nobody else's; what is on this machine may reach it all the same.
var ports = []string{"http.listen", "nats.listen", "nats.routes", "raft.listen", "data.listen",
	"data.direct-addr", "listen"}

// checkNetwork refuses a port that other machines reach, unless certificates protect it or the
// network is declared to be trusted. It looks at all values together, so it comes last.
func (v *Values) checkNetwork() error {
	if _, ok := v.values["insecure-network"]; !ok {
		return nil // a program without ports
	}
	if v.String("tls.dir") != "" || v.Bool("insecure-network") {
		return nil
	}

	for _, key := range ports {
		addr, ok := v.values[key].(string)
		if !ok || addr == "" || OnLoopback(addr) {
			continue
		}
		return fmt.Errorf("%s is %q (%s), which other machines reach, and nothing protects it; allowed: "+
			"127.0.0.1 or another loopback address, or any with tls.dir (longtake pki init makes the "+
			"certificates); insecure-network: true opens it to all who reach it", key, addr,
			v.sources[key])
	}
	return nil
}

// Insecure returns what to tell an operator at every start of a program whose ports are declared to
// be open; "" where they are not. With certificates the declaration has no effect, and is none.
func (v *Values) Insecure() string {
	_, ok := v.values["insecure-network"]
	if !ok || !v.Bool("insecure-network") || v.String("tls.dir") != "" {
		return ""
	}
	return InsecureText
}

// InsecureText says what insecure-network means, for logs and for /readyz?verbose.
const InsecureText = "insecure-network is set: nothing is encrypted and nobody is asked who they " +
	"are; whoever reaches a port can read prompts and clips, change them, and give orders"

// OnLoopback reports whether host:port is on an interface that only this machine reaches. Names
// other than localhost are not looked up: what they mean may change.
func OnLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(strings.TrimSuffix(host, "%lo"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
