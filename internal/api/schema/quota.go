package schema

import "github.com/longtake/longtake/internal/access"

// Quota is what a client may have, and has of it.
type Quota struct {
	Object string `json:"object"` // "quota"
	// Owner is the ID of who asks, "" without a key, Team its team.
	Owner string `json:"owner"`
	Team  string `json:"team,omitempty"`
	// Limits are the client's own; those that are missing do not bound anything.
	Limits access.Quota `json:"limits"`
	Used   Used         `json:"used"`
	// TeamLimits and TeamUsed are those of all clients of the team together; nil: there is no team.
	TeamLimits *access.Quota `json:"team_limits,omitempty"`
	TeamUsed   *Used         `json:"team_used,omitempty"`
	// Resets is when the next day begins for device-seconds, in seconds since 1970.
	Resets int64 `json:"resets_at"`
}

// Used is what an owner or a team has of its quota at present.
type Used struct {
	Queued  int `json:"queued"`  // jobs that wait
	Running int `json:"running"` // jobs
	// DeviceSeconds are since midnight in UTC, those of running jobs included.
	DeviceSeconds float64 `json:"device_seconds_today"`
	// Bytes are of stored clips, inputs and checkpoints.
	Bytes int64 `json:"bytes"`
}
