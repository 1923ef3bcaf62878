package access

// Quota bounds what a principal or a team takes. Zero fields do not bound anything.
type Quota struct {
	// Rate is how many requests a second may come on average, Burst how many at once.
	Rate  float64 `json:"requests_per_second,omitempty"`
	Burst int     `json:"burst,omitempty"`
	// Queued and Running are numbers of jobs at a time.
	Queued  int `json:"queued,omitempty"`
	Running int `json:"running,omitempty"`
	// DeviceSeconds is per day, from midnight to midnight in UTC, summed over devices.
	DeviceSeconds float64 `json:"device_seconds_per_day,omitempty"`
	// Bytes is what stored clips, checkpoints and inputs may take.
	Bytes int64 `json:"bytes,omitempty"`
	// Pixels is of a frame, width times height; Seconds is of a clip.
	Pixels  int     `json:"pixels,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Priority is the highest that a job may ask for; nil: any.
	Priority *int `json:"priority,omitempty"`
	// Weight is the share of the devices in relation to others'; 0: 1.
	Weight float64 `json:"weight,omitempty"`
}
