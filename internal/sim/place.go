package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/longtake/longtake/internal/topology"
)

// place is what a machine says of where it is, and of how fast it and its links are.
type place struct {
	host, rack string
	speed      float64
	rates      topology.Rates
	delays     topology.Delays
	device     string
	memory     int64
	dtypes     []string
}

// shareHosts puts the machines of three seeds in four on hosts and racks, and has their models'
// costs known, so that jobs are placed by the time that a step is predicted to take. It has numbers
// of its own, so that all else of a seed stays as it is.
func (w *world) shareHosts() {
	rng := rand.New(rand.NewPCG(w.Seed, 0x686f737473))
	for _, n := range w.nodes {
		n.place.device = "sim"
	}
	if rng.IntN(4) == 0 {
		return
	}
	for i := range w.models {
		w.models[i].Cost.FFNDim = 512
	}

	for _, n := range w.nodes {
		for i := range n.models {
			n.models[i].Cost.FFNDim = 512
		}
		host := rng.IntN(3)
		n.place = place{device: "sim", host: fmt.Sprint("h", host), rack: fmt.Sprint("r", host%2),
			speed: 1e9 * float64(1+rng.IntN(3)),
			rates: topology.Rates{Net: 1e6 * float64(rng.IntN(5)), Far: 1e6 * float64(rng.IntN(2))}}
	}
}
