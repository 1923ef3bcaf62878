package config

import "time"

// auditing says what a coordinator writes into the audit log, and how much of it is kept. The files
// are bounded by default: a log that fills the disk would stop what it is to watch over.
var auditing = Settings{
	{Key: "audit.prompts", Default: "hash", Usage: "how the audit log has prompts: hash " +
		"(HMAC-SHA-256 under a secret of the cluster), keep (as they are) or omit; that of the leader " +
		"counts"},
	{Key: "audit.keep-bytes", Default: Bytes(1 << 30), Usage: "what the files of the audit log may " +
		"take: the oldest go first. 0: no limit"},
	{Key: "audit.keep-for", Default: time.Duration(0), Usage: "how long the files of the audit log " +
		"are kept, such as 8760h; 0s: no limit"},
}
