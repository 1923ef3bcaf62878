//go:build cuda

package shard

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestAClipOnGPUsIsTheSameOnAnyNumberOfThem makes a whole clip: text, steps, decoder.
func TestAClipOnGPUsIsTheSameOnAnyNumberOfThem(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.device = DeviceCUDA
	for _, name := range []string{"a", "b", "c"} {
		k.add(name, ownServers(0))
	}
	if name := k.shards[0].dev.Name(); !strings.HasPrefix(name, "cuda: ") {
		t.Fatalf("the device is %q", name)
	}
	want := ""
	for _, m := range []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}, {CFG: 1, Ulysses: 3}} {
		v := k.await(k.create(request(1, 2, 0, m)), never)
		if v.State != job.Completed {
			t.Fatalf("mesh %v: %s: %s", m, v.State, v.Error)
		}
		if want == "" {
			want = v.Result.LatentsSHA256
		}
		if v.Result.LatentsSHA256 != want || v.Plan.Mesh != m {
			t.Errorf("mesh %v, run as %v: latents %.12s, others %.12s", m, v.Plan.Mesh,
				v.Result.LatentsSHA256, want)
		}
	}
}
