package sched

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// BenchmarkDecideACrowd has 5000 jobs wait for 64 nodes, all of them busy, or all but eight.
func BenchmarkDecideACrowd(b *testing.B) {
	for _, owners := range []int{1, 1000} {
		for _, idle := range []int{0, 8} {
			b.Run(fmt.Sprintf("owners=%d/idle=%d", owners, idle), func(b *testing.B) {
				v := crowd(5000, owners, 64, idle)
				for b.Loop() {
					if len(Decide(v)) < 5000 {
						b.Fatal("jobs are missing")
					}
				}
			})
		}
	}
}

// crowd has jobs of owners wait for one node each, of which some are idle.
func crowd(jobs, owners, nodes, idle int) View {
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	v := view(names...)
	for i := range nodes - idle {
		v.run(job.ID(fmt.Sprintf("r%d", i)), job.NodeID(names[i]))
	}
	for i := range jobs {
		q := v.queue(job.ID(fmt.Sprintf("q%d", i)), 1)
		q.Owner = fmt.Sprintf("key_%d", i*7%owners)
	}
	return v
}

// BenchmarkDecideAThousandNodes has 120 jobs of eight nodes each run, none of which may grow, and
// 500 wait for twelve nodes each.
func BenchmarkDecideAThousandNodes(b *testing.B) {
	var names []string
	for i := range 1024 {
		names = append(names, fmt.Sprintf("n%04d", i))
	}
	v := view(names...)
	for i := range 120 {
		var on []job.NodeID
		for k := range 8 {
			on = append(on, job.NodeID(names[8*i+k]))
		}
		v.run(job.ID(fmt.Sprintf("r%d", i)), on...)
		r := &v.Running[i]
		r.Spec.Shards = 8
		r.Pace = Pace{Attempt: r.Attempt, Mean: 1}
	}
	for i := range 500 {
		v.queue(job.ID(fmt.Sprintf("q%d", i)), 128)
	}
	for b.Loop() {
		if len(Decide(v)) != 620 {
			b.Fatal("jobs are missing")
		}
	}
}
