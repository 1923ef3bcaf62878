package advise

import "math"

// Fleets are sized by the queue M/D/c: clips that all take the same time, arrive as a Poisson
// process and wait for the first of c servers that is free. The wait is that of M/M/c (A. K.
// Erlang, 1917), halved for equal service times (Allen and Cunneen's approximation), with an
// exponential tail.

// Sizing is how many meshes a rate of clips needs.
type Sizing struct {
	Option
	Servers, Devices int
	// Busy is the part of the time for which they are, and Wait the 95th percentile of waiting, in
	// seconds.
	Busy, Wait float64
}

// serversMost bounds the search.
const serversMost = 4096

// tail is the part of clips that may miss the objective.
const tail = 0.05

// Size goes through meshes of all sizes, as small ones make more clips of a device and large ones
// are ready sooner: an objective decides which of them counts.
//
// It returns the fewest devices, as meshes of one of the options, that make so many clips an
// hour, 95 % of them within an objective in seconds, waiting included; 0: without one. It is false
// where none can.
func Size(options []Option, perHour, objective float64) (best Sizing, ok bool) {
	const hour = 3600
	for _, o := range options {
		if !o.Fits || objective > 0 && o.Total > objective {
			continue
		}

		// The fewest servers of this kind: the wait falls with each one more.
		load := perHour / hour * o.Total // servers that are busy on average
		for n := int(load) + 1; n <= serversMost; n++ {
			wait := waiting(n, load, o.Total)
			if objective > 0 && o.Total+wait > objective {
				continue
			}
			devices := n * o.Mesh.Size()
			if !ok || devices < best.Devices || devices == best.Devices && o.Total < best.Total {
				best, ok = Sizing{o, n, devices, load / float64(n), wait}, true
			}
			break
		}
	}
	return best, ok
}

// waiting returns the 95th percentile of the wait for one of n servers, of which load are busy.
func waiting(n int, load, service float64) float64 {
	p := erlangC(n, load)
	if p <= tail {
		return 0
	}
	const halved = 2
	return math.Log(p/tail) * service / (halved * (float64(n) - load))
}

// erlangC returns the part of arrivals that find all n servers busy.
func erlangC(n int, load float64) float64 {
	b := 1. // Erlang's B, by its recursion
	for k := 1; k <= n; k++ {
		b = load * b / (float64(k) + load*b)
	}
	busy := load / float64(n)
	return b / (1 - busy*(1-b))
}
