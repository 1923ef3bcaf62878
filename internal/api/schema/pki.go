package schema

import "time"

// TokenRequest asks for a token with which one process may join.
type TokenRequest struct {
	Role string `json:"role"`
	// TTL is for how long, in seconds.
	TTL float64 `json:"ttl"`
	// Name is the only name that may join; "": any that is free.
	Name string `json:"name,omitempty"`
}

// JoinToken is a token. Text is in the answer to its creation, and nowhere else.
type JoinToken struct {
	ID      string    `json:"id"`
	Text    string    `json:"token,omitempty"`
	Role    string    `json:"role"`
	Name    string    `json:"name,omitempty"`
	Expires time.Time `json:"expires_at"`
	Used    time.Time `json:"used_at,omitzero"`
	By      string    `json:"used_by,omitempty"`
}

// Authority describes the certificates of a cluster. Its lists are empty, and not null, where there
// is nothing; a cluster whose certificates come from elsewhere has no CAs.
type Authority struct {
	Cluster string      `json:"cluster"`
	CAs     []CA        `json:"cas"`
	Issued  []Issued    `json:"certificates"`
	Tokens  []JoinToken `json:"tokens"`
	Denied  []Denied    `json:"revoked"`
}

// CA is one that counts.
type CA struct {
	SHA256  string    `json:"sha256"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires_at"`
	Signs   bool      `json:"signs"`
	// Needed is until when certificates of it are valid, where another CA signs.
	Needed time.Time `json:"needed_until,omitzero"`
}

// Issued is the latest certificate of a process. One that has run out is in no list any more.
type Issued struct {
	Role    string    `json:"role"`
	Name    string    `json:"name"`
	CA      string    `json:"ca"` // SHA-256
	Expires time.Time `json:"expires_at"`
	Revoked bool      `json:"revoked,omitempty"`
}

// Denied is a revoked identity.
type Denied struct {
	Role string    `json:"role"`
	Name string    `json:"name"`
	At   time.Time `json:"at,omitzero"`
}
