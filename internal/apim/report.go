package apim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"apim-dr/internal/dr"
	"apim-dr/internal/usage"
)

var _ usage.Reports = (*Client)(nil)

var reportAdvice = map[int]string{
	http.StatusForbidden:    " (Give the identity of apim-dr Microsoft.ApiManagement/service/reports/read on the instance.)",
	http.StatusNotFound:     advice[http.StatusNotFound],
	http.StatusUnauthorized: advice[http.StatusUnauthorized],
}

// reportWithin is how long a report may be in the making. ARM itself gives up on what lies behind it after a minute (inferred).
const reportWithin = time.Minute

// Page implements usage.Reports. The headers must come within a minute, and the body must go on within 30 s each time; the rest of the time is ctx's. A Link is followed
// to the configured endpoint only, in the encoding in which the Azure SDKs send one.
func (c *Client) Page(ctx context.Context, q usage.Query) (io.ReadCloser, dr.Answer) {
	target, failure := c.report(q)
	if failure != nil {
		return nil, dr.Answer{Verdict: dr.No, Error: failure}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(reportWithin, func() { cancel(errStalled) })
	got := c.send(ctx, call{verb: "report", url: target, stream: true})
	switch stalled.Stop(); {
	case got.err == nil && got.reply.stream != nil:
		return &patient{ReadCloser: got.reply.stream, ctx: ctx, stalled: stalled, cancel: cancel, client: c}, dr.Answer{Verdict: dr.OK}
	case got.err != nil:
		defer cancel(nil)
		if cause := context.Cause(ctx); cause != nil {
			got.err = cause
		}
		return nil, dr.Answer{Verdict: dr.Later, Reason: c.why(got)}
	}
	cancel(nil)
	return nil, c.noReport(got.reply)
}

var errStalled = errors.New("nothing came any more")

// report is the URL of a page.
func (c *Client) report(q usage.Query) (string, *dr.Error) {
	if q.Link != "" {
		link, err := runtime.EncodeQueryParams(q.Link)
		if err != nil || !c.Trusts(link) {
			return "", dr.Failure("UntrustedLocation", "the next page of "+string(q.Report)+" does not lie on "+c.base+"; it was not asked for")
		}
		return link, nil
	}
	if _, failure := c.target(q.ResourceID, "", c.o.APIVersion); failure != nil {
		return "", failure
	}
	v := url.Values{"$filter": {q.Filter}}
	if q.Interval != "" {
		v.Set("interval", q.Interval)
	}
	if q.Skip > 0 {
		v.Set("$skip", strconv.FormatInt(q.Skip, 10))
	}
	return c.at(q.ResourceID+"/reports/"+string(q.Report), c.o.APIVersion) + "&" + strings.ReplaceAll(v.Encode(), "+", "%20"), nil
}

// noReport turns an answer that is no report into a verdict. A tier that has none answers 400 or 404, and once the platform has retired them 410 would be
// apt; what ARM did not write is no word about that, and neither is that there is no such instance.
func (c *Client) noReport(r reply) dr.Answer {
	if r.status/100 == 2 {
		return dr.Answer{Verdict: dr.Later, Reason: fmt.Sprintf("HTTP %d, but no report in it", r.status)}
	}
	e, named := r.failure()
	bare := r.status == http.StatusBadRequest || r.status == http.StatusNotFound || r.status == http.StatusGone
	switch gone := strings.EqualFold(e.Code, "ResourceNotFound") || strings.EqualFold(e.Code, "ServiceNotFound") || strings.EqualFold(e.Code, "ResourceGroupNotFound") ||
		strings.EqualFold(e.Code, "SubscriptionNotFound"); {
	case bare && !named:
		return dr.Answer{Verdict: dr.Later, Retry: c.retryAfter(r.header), Reason: reason(e)}
	case bare && !gone:
		return dr.Answer{Verdict: dr.Refused, Error: e, Reason: reason(e)}
	}
	return c.unread(r, reportAdvice)
}

// patient is a body whose reading ends when nothing comes for a while. The time that its reader takes does not count.
type patient struct {
	io.ReadCloser
	ctx     context.Context
	stalled *time.Timer
	cancel  context.CancelCauseFunc
	client  *Client
}

func (p *patient) Read(b []byte) (int, error) {
	p.stalled.Reset(getWithin)
	n, err := p.ReadCloser.Read(b)
	p.stalled.Stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(p.ctx); cause != nil {
			err = cause
		}
		err = fmt.Errorf("the report was cut off: %s", p.client.why(result{err: err}))
	}
	return n, err
}

func (p *patient) Close() error {
	defer p.cancel(nil)
	p.stalled.Stop()
	return p.ReadCloser.Close()
}
