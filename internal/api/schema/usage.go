package schema

import (
	"github.com/longtake/longtake/internal/price"
)

// Usage and cost of a video, as clients see them. Times are in seconds and amounts in units of the
// currency; inside, both are whole numbers of the smallest unit.

// Usage is what the attempts of a video have used of shards, in sums over ranks.
type Usage struct {
	// DeviceSeconds are the time for which devices were the video's: the sum of the next three, of
	// which Running is of the attempt that runs.
	DeviceSeconds float64 `json:"device_seconds"`
	Charged       float64 `json:"charged_device_seconds"`
	Uncharged     float64 `json:"uncharged_device_seconds"`
	Running       float64 `json:"running_device_seconds,omitempty"`
	// Devices are the same by kind of device.
	Devices []DeviceUsage `json:"devices"`
	// Memory is the most that the process of a rank had, in bytes.
	Memory int64 `json:"memory_bytes,omitempty"`
	// Sent are bytes that ranks sent to each other, Operations multiply-adds of finished steps and
	// frames.
	Sent       int64   `json:"sent_bytes"`
	Operations float64 `json:"operations"`
	// Joules are those of devices that tell; absent: none does.
	Joules float64 `json:"joules,omitempty"`
}

// DeviceUsage is the part of a Usage that is of one kind of device.
type DeviceUsage struct {
	Device        string  `json:"device"`
	DeviceSeconds float64 `json:"device_seconds"`
	Charged       float64 `json:"charged_device_seconds"`
	Uncharged     float64 `json:"uncharged_device_seconds"`
}

// Cost is what a video costs by the price sheet of the coordinator that led when it ended. It does
// not change any more.
type Cost struct {
	// Amount is in units of the currency, exactly.
	Amount   price.Micro `json:"amount"`
	Currency string      `json:"currency"`
	// DeviceSeconds were charged; Included of them are covered by the subscription called Plan.
	DeviceSeconds float64    `json:"device_seconds"`
	Included      float64    `json:"included_device_seconds,omitempty"`
	Plan          string     `json:"plan,omitempty"`
	Devices       []CostLine `json:"devices"`
	// Percent is what the priority added, such as "25" or "-20" for a discount.
	Percent string `json:"priority_percent,omitempty"`
	// Flat: the model's clips have one price. Minimum: the least that a job costs was applied.
	Flat    bool `json:"flat,omitempty"`
	Minimum bool `json:"minimum_applied,omitempty"`
	// Sheet is the hash of the price sheet, as GET /v1/cluster has it.
	Sheet string `json:"sheet"`
}

// CostLine is the part of a Cost that is of one kind of device.
type CostLine struct {
	Device        string      `json:"device"`
	DeviceSeconds float64     `json:"device_seconds"`
	Included      float64     `json:"included_device_seconds,omitempty"`
	Amount        price.Micro `json:"amount"`
}

// UsageFields are what rows of usage may be grouped by.
var UsageFields = []string{"key", "team", "model", "device", "plan", "day"}

// UsageRow is what jobs have used that have the same values of some fields; the others are empty.
type UsageRow struct {
	// Day is in UTC, as 2006-01-02; "" of days before those that are kept one by one.
	Day string `json:"day,omitempty"`
	// Key is the id of the key that owns the jobs, KeyName its name, if it is known still.
	Key     string `json:"key,omitempty"`
	KeyName string `json:"key_name,omitempty"`
	Team    string `json:"team,omitempty"`
	Model   string `json:"model,omitempty"`
	Device  string `json:"device,omitempty"`
	Plan    string `json:"plan,omitempty"`
	// Jobs counts those that ended, whatever became of them.
	Jobs int `json:"jobs"`
	// DeviceSeconds are the sum of Charged and Uncharged; Included of Charged are covered by plans.
	DeviceSeconds float64 `json:"device_seconds"`
	Charged       float64 `json:"charged_device_seconds"`
	Included      float64 `json:"included_device_seconds"`
	Uncharged     float64 `json:"uncharged_device_seconds"`
	// Amount is in Currency; amounts of different ones are in different rows. Both are empty where
	// there was no price sheet.
	Amount   price.Micro `json:"amount"`
	Currency string      `json:"currency,omitempty"`

	Sent       int64   `json:"sent_bytes"`
	Operations float64 `json:"operations"`
	Joules     float64 `json:"joules,omitempty"`
}

// UsageList answers GET /v1/usage.
type UsageList struct {
	// Object is always "list".
	Object string `json:"object"`
	// By are the fields by which the rows are grouped.
	By   []string   `json:"by"`
	Data []UsageRow `json:"data"`
}
