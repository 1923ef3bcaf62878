package result

import (
	"math"
	"math/rand/v2"
	"time"
)

// machine is a shared one: how slow it is drifts, and differs from run to run and from request to
// request, sometimes by a lot. Deviations are of logarithms.
type machine struct {
	rng *rand.Rand

	// drift is the deviation of an Ornstein-Uhlenbeck process that forgets within memory seconds.
	drift, memory float64

	// run is what whole runs differ by, noise what requests do; tails of 20 take longer by hiccup.
	run, noise, hiccup float64

	now, slow float64 // the time, and the process
}

// quiet and shared are the machines of the tests: one of its own, and one with other work on it.
func quiet(seed uint64) *machine {
	return &machine{rng: rand.New(rand.NewPCG(seed, 9)), drift: 0.002, memory: 600, run: 0.003,
		noise: 0.01, hiccup: 0.02}
}

func shared(seed uint64) *machine {
	return &machine{rng: rand.New(rand.NewPCG(seed, 9)), drift: 0.03, memory: 600, run: 0.005,
		noise: 0.03, hiccup: 0.2}
}

// pass lets seconds pass.
func (m *machine) pass(seconds float64) {
	kept := math.Exp(-seconds / m.memory)
	m.slow = m.slow*kept + m.drift*math.Sqrt(1-kept*kept)*m.rng.NormFloat64()
	m.now += seconds
}

// run is a single stream of n clips of about 10 s, slower by the factor, on this machine.
func (m *machine) clips(n, rounds int, factor float64) Result {
	start := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	r := plain(n)
	r.Scenario.ObjectiveSeconds = 0
	r.Started = start.Add(time.Duration(m.now * float64(time.Second)))
	own, began := m.run*m.rng.NormFloat64(), m.now
	for i := range r.Requests {
		q := &r.Requests[i]
		q.Round = i * rounds / n
		slow := m.slow + own + m.noise*m.rng.NormFloat64()
		if m.rng.IntN(20) == 0 {
			slow += m.hiccup * m.rng.ExpFloat64()
		}
		prompt := 1 + 0.05*math.Sin(float64(i)) // clips of their own kinds take their own time
		q.Sent = m.now - began
		q.Planned = q.Sent
		q.Latency = 10 * prompt * factor * math.Exp(slow)
		q.Stages = map[string]float64{StageDenoise: 0.8 * q.Latency, StageDecode: 0.2 * q.Latency}
		q.DeviceSeconds = 2 * q.Latency
		m.pass(q.Latency)
	}
	r.Finished = start.Add(time.Duration(m.now * float64(time.Second)))
	m.pass(30) // to start the next
	return r
}

// inTurns makes runs of both sides in turn; B is slower by the factor.
func (m *machine) inTurns(runs, n int, factor float64) (a, b []Result) {
	for range runs {
		a = append(a, m.clips(n, 1, 1))
		b = append(b, m.clips(n, 1, factor))
	}
	return a, b
}
