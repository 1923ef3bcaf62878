package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// TestANewLeaderSoon kills the leader of three coordinators with SIGKILL, again and again, while a
// clip is made, and measures how long it takes until the next command is acknowledged. Then it kills
// all three at once. LONGTAKE_KILLS says how often (3).
func TestANewLeaderSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	kills := 3
	fmt.Sscan(os.Getenv("LONGTAKE_KILLS"), &kills)
	c := &chaos{t: t, b: build(t), kinds: chaosKinds[:1],
		rng: rand.New(rand.NewPCG(1, 1)), accepted: map[string]int{}}
	c.startAll()
	var took []time.Duration
	for i := range kills {
		c.create(fmt.Sprint("before-", i), 0)
		p := c.leader()
		p.d.kill()
		start := time.Now()
		c.create(fmt.Sprint("after-", i), 1)
		took = append(took, time.Since(start))
		p.d = c.b.start(t, "coordinator", p.args...)
		until(t, "three coordinators", func() bool { return c.ready() == len(c.coords) })
	}
	slices.Sort(took)
	t.Logf("%d kills: acknowledged again after %v (median), %v (99 of 100), %v (longest)", kills,
		took[len(took)/2], took[(len(took)-1)*99/100], took[len(took)-1])
	if worst := took[(len(took)-1)*99/100]; worst > 5*time.Second {
		t.Errorf("a command was acknowledged only after %v", worst)
	}
	c.killCoordinators()
	for id, which := range c.accepted {
		if v, ok := c.await(id); ok {
			c.judgeLatents(id, which, v)
		}
	}
	c.once()
}
