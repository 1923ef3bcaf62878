package api

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// usage answers with what jobs have used, by day and by what else the query asks for. The
// coordinator leaves out what is not the client's to see.
func (s *server) usage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	by, err := usageFields(q)
	if err != nil {
		return err
	}
	for _, end := range []string{"from", "to"} {
		if _, err := time.Parse(time.DateOnly, q.Get(end)); err != nil && q.Get(end) != "" {
			return &job.FieldError{Field: end, Value: fmt.Sprintf("%.32q", q.Get(end)),
				Allowed: "a day in UTC, such as 2026-01-31"}
		}
	}

	rows, names, err := s.service.Usage(r.Context(), q.Get("from"), q.Get("to"))
	if err != nil {
		return err
	}
	data := groupUsage(rows, by)
	for i := range data {
		data[i].KeyName = names[data[i].Key]
	}

	if q.Get("format") == "csv" {
		return writeUsageCSV(w, by, data)
	}
	reply(w, http.StatusOK, schema.UsageList{Object: "list", By: by, Data: data})
	return nil
}

// The query is the same for both forms of the answer, so that somebody who has found a table in
// JSON can have it as CSV by adding format=csv.

// usageFields reads by what rows are grouped: "by" has names separated by commas. Without it these
// are keys, models and days.
func usageFields(q url.Values) ([]string, error) {
	if f := q.Get("format"); f != "" && f != "json" && f != "csv" {
		return nil, &job.FieldError{Field: "format", Value: fmt.Sprintf("%.32q", f),
			Allowed: "json, csv"}
	}
	if !q.Has("by") {
		return []string{"key", "model", "day"}, nil
	}

	by := []string{}
	for _, name := range strings.FieldsFunc(q.Get("by"), func(c rune) bool { return c == ',' }) {
		if !slices.Contains(schema.UsageFields, name) || slices.Contains(by, name) {
			return nil, &job.FieldError{Field: "by", Value: fmt.Sprintf("%.64q", q.Get("by")),
				Allowed: "some of " + strings.Join(schema.UsageFields, ", ") + ", each once"}
		}
		by = append(by, name)
	}
	return by, nil
}

// Rows are grouped here and not by the coordinator, which has one row for each combination: its
// loop should not be held up by what a client likes to see.

// groupUsage adds rows up that agree in some fields and in their currency. The order of the rows
// stays that of the fields.
func groupUsage(rows []coord.UsageRow, by []string) []schema.UsageRow {
	sums := map[string]coord.UsageRow{}
	var order []string
	for _, r := range rows {
		k := coord.UsageRow{}
		k.Currency = r.Currency
		for _, f := range by {
			*usageField(&k, f) = *usageField(&r, f)
		}

		// The key's JSON is what rows have in common.
		id := string(encode(k.UsageKey))
		if _, known := sums[id]; !known {
			sums[id] = k
			order = append(order, id)
		}
		sums[id] = sums[id].Add(r)
	}

	out := []schema.UsageRow{}
	for _, id := range order {
		out = append(out, toUsageRow(sums[id]))
	}
	slices.SortStableFunc(out, func(a, b schema.UsageRow) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Team, b.Team))
	})
	return out
}

// usageField is where a row has a field by which rows are grouped.
func usageField(r *coord.UsageRow, name string) *string {
	return map[string]*string{"key": &r.Owner, "team": &r.Team, "model": &r.Model,
		"device": &r.Device, "plan": &r.Plan, "day": &r.Day}[name]
}

// toUsageRow turns whole nanoseconds into the seconds that clients see. What failed and what was
// lost are one to them: neither is charged.
func toUsageRow(r coord.UsageRow) schema.UsageRow {
	return schema.UsageRow{Day: r.Day, Key: r.Owner, Team: r.Team, Model: r.Model, Device: r.Device,
		Plan: r.Plan, Jobs: r.Jobs, DeviceSeconds: r.Time().Seconds(), Charged: r.Charged.Seconds(),
		Included: r.Included.Seconds(), Uncharged: (r.Failed + r.Lost).Seconds(), Amount: r.Amount,
		Currency: r.Currency, Sent: r.Sent, Operations: r.Operations, Joules: r.Joules}
}

// A table has every column in every answer, also those that are empty: programs that read it by the
// order of its columns go on when a cluster gets its first price sheet. Amounts have all their
// digits.

// writeUsageCSV writes a table with a head, whose columns are the fields and then the sums. A text
// that a spreadsheet would take for a formula gets a quote before it.
func writeUsageCSV(w http.ResponseWriter, by []string, rows []schema.UsageRow) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	head := slices.Concat(by, []string{"key_name", "jobs", "device_seconds",
		"charged_device_seconds", "included_device_seconds", "uncharged_device_seconds", "amount",
		"currency", "sent_bytes", "operations", "joules"})
	_ = out.Write(head)

	for _, r := range rows {
		fields := map[string]string{"key": r.Key, "team": r.Team, "model": r.Model,
			"device": r.Device, "plan": r.Plan, "day": r.Day}
		var line []string
		for _, f := range by {
			line = append(line, plainCell(fields[f]))
		}
		line = append(line, plainCell(r.KeyName), fmt.Sprint(r.Jobs), cell(r.DeviceSeconds),
			cell(r.Charged), cell(r.Included), cell(r.Uncharged), r.Amount.String(), r.Currency,
			fmt.Sprint(r.Sent), fmt.Sprintf("%.0f", r.Operations), fmt.Sprintf("%g", r.Joules))
		_ = out.Write(line)
	}
	out.Flush()
	return nil // a reader that has left is no error of ours
}

// cell writes seconds to the microsecond.
func cell(seconds float64) string { return fmt.Sprintf("%.6f", seconds) }

// plainCell writes a text of somebody's, such as a key's name.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
