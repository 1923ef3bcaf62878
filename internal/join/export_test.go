package join

import "time"

// Every has a keeper ask this often.
func (k *Keeper) Every(d time.Duration) *Keeper {
	k.every = d
	return k
}
