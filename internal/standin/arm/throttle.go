package arm

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

// Bucket limits the requests of one kind that a principal makes in a subscription: Size of them at once, and Refill more a second.
type Bucket struct{ Size, Refill int } // Size 0: no limit

// ReadBucket and WriteBucket are what Resource Manager documents since 2024 (learn.microsoft.com, Azure Resource Manager, "Understand how
// Azure Resource Manager throttles requests"); deletes have a bucket of their own, like that of writes.
var (
	ReadBucket  = Bucket{Size: 250, Refill: 25}
	WriteBucket = Bucket{Size: 200, Refill: 10}
)

// global is how many times the limit of one principal all of a subscription have together (documented on the same page; recorded: 200
// beside 3000, and 249 beside 3749).
const global = 15

// level is what is left of a bucket. It is guarded by Server.mu.
type level struct {
	left  float64
	at    time.Time // when that was so
	until time.Time // whoever was refused is to wait till then
}

// take takes a request out of the bucket; when none is left, or somebody asks before the time that a refusal told, it says how long to wait.
func (l *level) take(b Bucket, now time.Time) (wait time.Duration) {
	l.left = min(float64(b.Size), l.left+max(0, now.Sub(l.at).Seconds())*float64(b.Refill))
	l.at = now
	switch {
	case now.Before(l.until):
	case l.left >= 1:
		l.left--
		return 0
	default: // reported for reads: 10 s, which is what an empty bucket needs until it is full
		l.until = now.Add(time.Duration(math.Ceil((float64(b.Size)-l.left)/float64(max(1, b.Refill)))) * time.Second)
	}
	return l.until.Sub(now)
}

// throttle counts a request and sets the headers that tell what is left. The caller holds s.mu.
func (s *Server) throttle(c *call, actor string) *Error {
	kind, limit, usual := "write", s.cfg.Writes, WriteBucket
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		kind, limit, usual = "read", s.cfg.Reads, ReadBucket
	case http.MethodDelete:
		kind = "delete"
	}
	show := func(scope string, left int) {
		c.w.Header().Set("X-Ms-Ratelimit-Remaining-Subscription-"+scope+kind+"s", fmt.Sprint(left))
	}
	if limit.Size == 0 {
		show("", usual.Size-1)
		show("global-", usual.Size*global-1)
		return nil
	}
	var wait time.Duration
	for _, x := range []struct {
		scope, who string
		Bucket
	}{{"", actor, limit}, {"global-", "", Bucket{limit.Size * global, limit.Refill * global}}} {
		key := [3]string{kind, c.subscription, x.who}
		l := s.levels[key]
		if l == nil {
			l = &level{left: float64(x.Size), at: s.cfg.Now()}
			s.levels[key] = l
		}
		if wait == 0 { // what the principal's own bucket refuses does not count for all
			wait = l.take(x.Bucket, s.cfg.Now())
		}
		show(x.scope, int(l.left))
	}
	if wait == 0 {
		return nil
	}
	e := frontDoor(http.StatusTooManyRequests, "SubscriptionRequestsThrottled", // reported, with these words
		"Number of '%s' requests for subscription '%s' actor '%s' exceeded. Please try again after '%s' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information.",
		kind, c.subscription, actor, seconds(wait))
	e.retryAfter = wait
	return e
}
