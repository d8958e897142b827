// A viewer that is Pion, a WebRTC stack in Go. Reads commands as lines of JSON, writes what happens as lines of JSON.
//
//	pion [lite] [passive]
//
// lite: it is an ICE-lite agent, as a server is. passive: in its answer it is the DTLS server.
//
//	{"do": "offer", "kinds": [...]}   makes an offer to receive these: {"offer": SDP}
//	{"do": "restart"}                 makes an offer that restarts ICE: {"offer": SDP}
//	{"do": "take_offer", "sdp": ...}  answers the device's offer: {"answer": SDP}
//	{"do": "take_answer", "sdp": ...}
//	{"do": "candidate", "mline": n, "mid": ..., "candidate": "candidate:..."}
//	{"do": "keyframe"}                asks for a keyframe
//
// Each tenth whole picture and each keyframe: {"video": n, "keyframes": n}. Each tenth packet of sound: {"audio": n}.
// Packets of pictures that did not come: {"lost": n}. Own candidates: {"candidate": ..., "mid": ..., "mline": n}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	// By their folders, without versions: Go finds Debian's packages in GOPATH by these.
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc"
)

type fields map[string]interface{}

var (
	saying sync.Mutex
	out    = os.Stdout
)

func say(message fields) {
	line, _ := json.Marshal(message)
	saying.Lock()
	defer saying.Unlock()
	fmt.Fprintln(out, string(line))
}

// check says an error and ends the process.
func check(err error) {
	if err != nil {
		say(fields{"error": err.Error()})
		os.Exit(1)
	}
}

func connection(options []string) *webrtc.PeerConnection {
	setting, media, registry := webrtc.SettingEngine{}, &webrtc.MediaEngine{}, &interceptor.Registry{}
	for _, option := range options {
		switch option {
		case "lite":
			setting.SetLite(true)
		case "passive":
			check(setting.SetAnsweringDTLSRole(webrtc.DTLSRoleServer))
		}
	}
	check(media.RegisterDefaultCodecs())
	check(webrtc.RegisterDefaultInterceptors(media, registry))
	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(setting), webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry),
	)
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	check(err)
	return pc
}

type command struct {
	Do, Sdp, Candidate, Mid string
	Kinds                   []string
	Mline                   uint16
}

type viewer struct {
	pc    *webrtc.PeerConnection
	video uint32 // the SSRC of the picture
	// An offer that restarts ICE gathers candidates before it is made: they wait here until it is said.
	lock     sync.Mutex
	offering bool
	waiting  []fields
}

func (v *viewer) do(c command) {
	switch c.Do {
	case "offer":
		for _, kind := range c.Kinds {
			receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
			_, err := v.pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind), receive)
			check(err)
		}
		v.offer(nil)
	case "restart":
		v.offer(&webrtc.OfferOptions{ICERestart: true})
	case "take_offer":
		if v.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer {
			return // both have offered: the device yields
		}
		check(v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.Sdp}))
		answer, err := v.pc.CreateAnswer(nil)
		check(err)
		say(fields{"answer": answer.SDP})
		check(v.pc.SetLocalDescription(answer))
	case "take_answer":
		check(v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.Sdp}))
	case "candidate":
		check(v.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Candidate, SDPMid: &c.Mid, SDPMLineIndex: &c.Mline}))
	case "keyframe":
		check(v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: atomic.LoadUint32(&v.video)}}))
	default:
		check(fmt.Errorf("unknown command %q", c.Do))
	}
}

func (v *viewer) offer(options *webrtc.OfferOptions) {
	v.lock.Lock()
	v.offering = true
	v.lock.Unlock()
	offer, err := v.pc.CreateOffer(options)
	check(err)
	v.lock.Lock()
	say(fields{"offer": offer.SDP})
	for _, candidate := range v.waiting {
		say(candidate)
	}
	v.offering, v.waiting = false, nil
	v.lock.Unlock()
	check(v.pc.SetLocalDescription(offer))
}

// watch counts the pictures of a track: packets without a gap, up to the one with the marker (RFC 6184 section 5.1).
func (v *viewer) watch(track *webrtc.TrackRemote) {
	atomic.StoreUint32(&v.video, uint32(track.SSRC()))
	pictures, keyframes, lost := 0, 0, 0
	var (
		unpack  codecs.H264Packet
		picture []byte
		next    uint16
		whole   = true
	)
	for first := true; ; first = false {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if gap := packet.SequenceNumber - next; !first && gap != 0 {
			if gap >= 1<<15 {
				continue // late
			}
			lost += int(gap)
			say(fields{"lost": lost})
			unpack, whole = codecs.H264Packet{}, false
		}
		next = packet.SequenceNumber + 1
		part, err := unpack.Unmarshal(packet.Payload)
		check(err)
		picture = append(picture, part...)
		if !packet.Marker {
			continue
		}
		key := whole && decodable(picture)
		if whole {
			pictures++
		}
		if key {
			keyframes++
		}
		if key || pictures%10 == 0 {
			say(fields{"video": pictures, "keyframes": keyframes})
		}
		picture, whole = nil, true
	}
}

// decodable tells whether a picture (H.264, Annex B) can be decoded by itself: it has parameter sets and an IDR slice.
func decodable(picture []byte) bool {
	has := map[byte]bool{}
	for at := 0; at+3 < len(picture); at++ {
		if picture[at] == 0 && picture[at+1] == 0 && picture[at+2] == 1 {
			has[picture[at+3]&31] = true
		}
	}
	return has[7] && has[8] && has[5]
}

func listen(track *webrtc.TrackRemote) {
	for sounds := 1; ; sounds++ {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		if sounds%10 == 0 {
			say(fields{"audio": sounds})
		}
	}
}

func main() {
	os.Stdout = os.Stderr // Pion's log goes to what is the standard output by then
	v := &viewer{pc: connection(os.Args[1:])}
	v.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			return
		}
		init := candidate.ToJSON()
		message := fields{"candidate": init.Candidate, "mid": init.SDPMid, "mline": init.SDPMLineIndex}
		v.lock.Lock()
		defer v.lock.Unlock()
		if v.offering {
			v.waiting = append(v.waiting, message)
		} else {
			say(message)
		}
	})
	v.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) { say(fields{"state": state.String()}) })
	v.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			v.watch(track)
		} else {
			listen(track)
		}
	})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		check(json.Unmarshal(lines.Bytes(), &c))
		v.do(c)
	}
	check(v.pc.Close())
}
