package api

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
)

// Usage implements coord.Service with the jobs of two keys on two days.
func (f *fake) Usage(_ context.Context, from, _ string) ([]coord.UsageRow, map[string]string,
	error) {
	var rows []coord.UsageRow
	for _, day := range []string{"2026-01-30", "2026-01-31"} {
		for _, owner := range []string{"key_a", "key_b"} {
			if day < from {
				continue
			}
			rows = append(rows, coord.UsageRow{UsageKey: core.UsageKey{Day: day, Owner: owner,
				Model: "m", Device: "=d", Currency: "EUR"}, Jobs: 1, Charged: 2 * time.Second,
				Lost: time.Second, Amount: 1_500_000})
		}
	}
	return rows, map[string]string{"key_a": "anna"}, f.err
}

// TestUsage groups rows, and writes them as a table that no spreadsheet takes for a formula.
func TestUsage(t *testing.T) {
	_, c := serve(t, newFake())
	l, err := c.Usage(t.Context(), client.UsageQuery{By: []string{"key"}, From: "2026-01-30"})
	if err != nil || len(l.Data) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	if r := l.Data[0]; r.Key != "key_a" || r.KeyName != "anna" || r.Day != "" || r.Jobs != 2 ||
		r.DeviceSeconds != 6 || r.Uncharged != 2 || r.Amount.String() != "3.00" {
		t.Errorf("%+v", r)
	}
	if l, err := c.Usage(t.Context(), client.UsageQuery{From: "2026-01-31"}); err != nil ||
		len(l.Data) != 1 || l.Data[0].Jobs != 2 {
		t.Errorf("the sum of all: %+v, %v", l, err)
	}

	body, err := c.UsageCSV(t.Context(), client.UsageQuery{By: []string{"day", "device"}})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if want := "2026-01-30,'=d,,2,6.000000,4.000000,0.000000,2.000000,3.00,EUR,0,0,0\n"; err != nil ||
		!strings.Contains(string(text), want) {
		t.Errorf("%s, %v; want %s", text, err, want)
	}

	for query, want := range map[string]string{"by=key,key": "each once", "by=x": "some of key, team",
		"from=1": "from is", "to=2026-02-30": "to is", "format=xml": "json, csv"} {
		if status, body, _ := do(t, c, "GET", "/v1/usage?"+query, "", ""); status != 400 ||
			!strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// TestCostOfVideos says what a job has used and costs, by the second.
func TestCostOfVideos(t *testing.T) {
	v := coord.View{Record: job.Record{Bill: &price.Bill{Amount: 140_000, Currency: "EUR",
		Devices: []price.Line{{Device: "d", Time: time.Minute, Included: time.Second,
			Amount: 140_000}}, Plan: "p"}}}
	v.Usage = v.Usage.Charge("d", job.Usage{Time: time.Minute}, true)
	v.Live = v.Live.Charge("e", job.Usage{Time: time.Second, Memory: 5}, false)
	d := toVideo(v).Details
	if u := d.Usage; u == nil || u.DeviceSeconds != 61 || u.Running != 1 || len(u.Devices) != 2 ||
		u.Devices[1].DeviceSeconds != 1 || u.Memory != 5 {
		t.Errorf("usage %+v", u)
	}
	if c := d.Cost; c == nil || c.Amount.String() != "0.14" || c.Included != 1 ||
		c.DeviceSeconds != 60 {
		t.Errorf("cost %+v", c)
	}
}
