package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/keyfile"
)

// clip is what a job has to leave: the hashes of its two files.
type clip struct{ video, latents [32]byte }

type chaosStats struct {
	delivered, lost, planned, redone, steps int
	detection, recovery                     []time.Duration
	kinds                                   map[string]int // delivered, by the name of their kind
}

// get asks the coordinators in turn; "" if none answers.
func (c *chaos) get(path string) string {
	body, err := c.call(http.MethodGet, path, "", "")
	if err != nil {
		return ""
	}
	return string(body)
}

var chaosHTTP = &http.Client{Timeout: 10 * time.Second}

// call asks one coordinator after the other until one answers well.
func (c *chaos) call(method, path, key, body string) (b []byte, err error) {
	for _, i := range rand.Perm(len(c.coords)) {
		var req *http.Request
		req, err = http.NewRequest(method, c.lock.url(c.coords[i].http)+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Idempotency-Key", key)
		}
		req.Header.Set("Authorization", c.lock.bearer())
		var resp *http.Response
		if resp, err = c.lock.client().Do(req); err != nil {
			continue
		}
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode < 300 {
			return b, nil
		}
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, b)
	}
	return nil, err
}

// localKey is the key of whoever runs the coordinators, once one of them has started.
func localKey() (text string) {
	if path, err := keyfile.LocalPath(); err == nil {
		text, _ = keyfile.Read(path)
	}
	return text
}

// client makes clips until the time is over, and one after that.
func (c *chaos) client(n int, end time.Time) {
	over := make(chan struct{})
	time.AfterFunc(time.Until(end), func() { close(over) })
	c.clientUntil(n, over)
}

// clientUntil makes clips until end is closed, and one after that.
func (c *chaos) clientUntil(n int, end <-chan struct{}) {
	for i := 0; ; i++ {
		over := false
		select {
		case <-end:
			over = true
		default:
		}
		which := (n + i) % len(c.want)
		id := c.create(fmt.Sprintf("client-%d-%d", n, i), which)
		if id == "" {
			return
		}
		v, ok := c.await(id)
		if !ok {
			return
		}
		c.judge(id, which, v)
		if over {
			return
		}
	}
}

// create asks until it is answered; the key keeps a repeated request from making a second clip.
func (c *chaos) create(key string, which int) string {
	body := c.body(which)
	for late := time.Now().Add(chaosCalm); ; time.Sleep(200 * time.Millisecond) {
		b, err := c.call(http.MethodPost, "/v1/videos", key, body)
		var v struct{ ID string }
		if err == nil && json.Unmarshal(b, &v) == nil && v.ID != "" {
			c.mu.Lock()
			c.accepted[v.ID] = which
			c.mu.Unlock()
			return v.ID
		}
		if time.Now().After(late) {
			c.t.Errorf("no coordinator takes a job: %v", err)
			return ""
		}
	}
}

// chaosVideo is what is read of a job.
type chaosVideo struct {
	Details struct {
		State      string
		Checkpoint int `json:"checkpoint_step"`
		Spec       struct {
			Steps int `json:"num_inference_steps"`
		}
		Result struct {
			Latents string `json:"latents_sha256"`
		}
		Attempts []struct {
			Planned   bool
			Redone    int           `json:"redone_steps"`
			Detection time.Duration `json:"detection_ns"`
			Time      time.Time
			Recovered time.Time
			Reason    string
		} `json:"attempts_lost"`
	} `json:"longtake"`
	Error *struct{ Message string }
}

func (c *chaos) await(id string) (v chaosVideo, ok bool) {
	for late := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		v = chaosVideo{}
		if json.Unmarshal([]byte(c.get("/v1/videos/"+id)), &v) == nil {
			switch v.Details.State {
			case "completed":
				return v, true
			case "failed", "cancelled":
				c.t.Errorf("clip %s is lost: %+v", id, v)
				return v, false
			}
		}
		if time.Now().After(late) {
			c.t.Errorf("clip %s does not end: %+v", id, v)
			return v, false
		}
	}
}

// judge fetches a finished clip's files and compares them.
func (c *chaos) judge(id string, which int, v chaosVideo) {
	if c.fetch(id) != c.want[which] {
		c.t.Errorf("clip %s (%s) has other bytes than an undisturbed one", id, c.kind(which).name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.delivered++
	c.stats.steps += v.Details.Spec.Steps
	c.stats.kinds[c.kind(which).name]++
	for _, a := range v.Details.Attempts {
		c.t.Logf("%s: %s", id, a.Reason)
		c.stats.redone += a.Redone
		if a.Planned {
			c.stats.planned++
			continue
		}
		c.stats.lost++
		if a.Detection > 0 {
			c.stats.detection = append(c.stats.detection, a.Detection)
		}
		if !a.Recovered.IsZero() {
			c.stats.recovery = append(c.stats.recovery, a.Recovered.Sub(a.Time))
		}
	}
}

// once wants exactly the accepted jobs to be known.
func (c *chaos) once() {
	ids := map[string]bool{}
	for after := ""; ; {
		var page struct {
			Data []struct{ ID string }
			More bool `json:"has_more"`
		}
		body := c.get("/v1/videos?limit=100&after=" + after)
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			c.t.Fatalf("%v: %s", err, body)
		}
		for _, v := range page.Data {
			ids[v.ID], after = true, v.ID
		}
		if !page.More {
			break
		}
	}
	if len(ids) != len(c.accepted) || c.stats.delivered != len(c.accepted) {
		c.t.Errorf("%d clips accepted, %d known, %d delivered", len(c.accepted), len(ids),
			c.stats.delivered)
	}
}

// jobs lists what is not done, for the report of a failure.
func (c *chaos) jobs() string { return c.get("/v1/videos?limit=5") + c.get("/v1/nodes") }

// judgeLatents wants jobs of the same clip to have the same latents.
func (c *chaos) judgeLatents(id string, which int, v chaosVideo) {
	sum := v.Details.Result.Latents
	if c.sums == nil {
		c.sums = map[int]string{}
	}
	if old := c.sums[which]; sum == "" || old != "" && old != sum {
		c.t.Errorf("clip %s became %q, others %q", id, sum, old)
	}
	c.sums[which] = sum
	c.stats.delivered++
}
