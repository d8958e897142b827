//! Offer and answer of one session (RFC 3264, RFC 8843): what the viewer's description means, how it is answered, and
//! what must not change later. Pure.

use super::description_checks::{fits, same_lines};
use crate::{
    protocol::{
        ErrorName, Refusal, Wanted,
        candidate::CandidateBudget,
        sdp::{
            CodecChoice, Description, DtlsSetup, MediaKind, MediaSection, TransportParameters, Use, bad, need_bundle,
            write::{self, Purpose, SessionLayout, ViewerSection},
        },
    },
    viewer::{
        receive::TalkLine,
        session::{
            channel_line,
            talk_line::{self, talk_line},
            viewer_lines::{extensions, first, slot},
        },
    },
};

/// A description of the viewer that was understood.
#[derive(Debug)]
pub(crate) struct RemoteDescription {
    /// The description for the stack.
    pub(crate) stack: String,
    /// The ICE generation it names.
    pub(crate) ufrag: String,
    /// How many of its candidates are not used.
    pub(crate) dropped: usize,
    /// The mids of m-lines that have another transport, which is not used.
    pub(crate) elsewhere: Vec<String>,
    agreed: Agreed,
}

impl RemoteDescription {
    /// Whether the viewer can open the channel for commands.
    pub(crate) fn has_channel(&self) -> bool {
        self.agreed.channel.is_some()
    }
}

/// What both sides have agreed on. The ICE credentials are not part of it: a restart brings new ones.
#[derive(Debug, Clone)]
struct Agreed {
    layout: SessionLayout,
    /// The fingerprint of the viewer's certificate.
    fingerprint: String,
    /// The DTLS role of this device.
    setup: DtlsSetup,
    lines: Vec<Agreement>,
    /// Where the viewer sends sound. The stack does not know of it.
    talk: Option<TalkLine>,
    /// The m-line of the data channel for commands.
    channel: Option<usize>,
}

/// What is sent on one m-line.
#[derive(Debug, Clone)]
struct Agreement {
    line: usize,
    kind: MediaKind,
    choice: CodecChoice,
    extensions: Vec<(u8, String)>,
}

/// The negotiation of one peer connection.
#[derive(Debug)]
pub(crate) struct Negotiation {
    /// The media that this device sends if the viewer accepts them.
    media: Wanted,
    agreed: Option<Agreed>,
    /// The layout of the device's first offer.
    offered: Option<SessionLayout>,
    /// The mids of the stack's m-lines, if it made the first offer.
    mids: Vec<(MediaKind, String)>,
    /// The media that the viewer refuses or has no codec for.
    refused: Wanted,
    /// The device's description that was sent last.
    own: Option<Description>,
}

impl Negotiation {
    pub(crate) fn new(media: Wanted) -> Self {
        Self { media, agreed: None, offered: None, mids: Vec::new(), refused: Wanted::default(), own: None }
    }

    /// The media that are not sent because the viewer has no codec for them or refused their m-line.
    pub(crate) fn refused(&self) -> Wanted {
        self.refused
    }

    /// Adds media that are not sent.
    pub(crate) fn refuse(&mut self, refused: Wanted) {
        self.refused = refused;
    }

    /// Where the viewer sends sound. `None`: it sends none, or may not.
    pub(crate) fn talk(&self) -> Option<TalkLine> {
        self.agreed.as_ref()?.talk
    }

    /// Whether the viewer may open a data channel for commands, if both descriptions agree.
    pub(crate) fn wants_channel(&self) -> bool {
        self.media.commands
    }

    /// The highest level of H.264 that the viewer takes. `None`: any, or there is no picture.
    pub(crate) fn level(&self) -> Option<crate::level::Level> {
        self.agreed.as_ref()?.lines.iter().find_map(|agreement| agreement.choice.level)
    }

    /// The user fragment of the device's description. It names the ICE generation of local candidates.
    pub(crate) fn own_ufrag(&self) -> &str {
        let lines = self.own.iter().flat_map(|own| &own.lines);
        lines.filter_map(|line| line.ufrag.as_deref()).next().unwrap_or_default()
    }

    /// Whether the device's description contains this candidate.
    pub(crate) fn says(&self, candidate: &str) -> bool {
        self.own.iter().flat_map(|own| &own.lines).any(|line| line.candidates.iter().any(|is| is == candidate))
    }

    /// Mid and index of the m-line that local candidates belong to.
    pub(crate) fn tagged(&self) -> (Option<String>, Option<u16>) {
        let layout = self.agreed.as_ref().map(|agreed| &agreed.layout).or(self.offered.as_ref());
        let Some(layout) = layout else { return (None, Some(0)) };
        let mid = layout.slots.get(layout.tagged).and_then(|slot| slot.mid.clone());
        (mid, u16::try_from(layout.tagged).ok())
    }

    /// Reads an offer of the viewer: the first, or one that restarts ICE.
    pub(crate) fn take_offer(
        &self,
        offer: &Description,
        budget: &mut CandidateBudget,
    ) -> Result<RemoteDescription, Refusal> {
        if let Some(agreed) = &self.agreed {
            return self.again(agreed, offer, budget, "offer");
        }
        let wanted =
            |kind| [(MediaKind::Video, self.media.video), (MediaKind::Audio, self.media.audio)].contains(&(kind, true));
        let mut lines = Vec::new();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if let (true, Some((line, Use::Common(choice)))) = (wanted(kind), offer.best(kind)) {
                lines.push(Agreement { line, kind, choice, extensions: extensions(&offer.lines[line]) });
            }
        }
        lines.sort_by_key(|agreement| agreement.line);
        let used: Vec<usize> = lines.iter().map(|agreement| agreement.line).collect();
        if !offer.is_bundled(&used) {
            return Err(need_bundle("offer"));
        }
        let sound = lines.iter().find(|agreement| agreement.kind == MediaKind::Audio).map(|agreement| agreement.line);
        let talk = if self.media.talk { talk_line(offer, sound, &used) } else { None };
        let tagged = offer.tagged(&used).ok_or_else(|| bad("the offer has no m-line that this device serves"))?;
        let channel = if self.media.commands { channel_line::offered(offer, &used, tagged) } else { None };
        let transport = offer.transport(tagged)?;
        // Without `setup`, an offer means active (RFC 4145 section 4.1).
        let setup = match transport.setup {
            Some(DtlsSetup::ActPass | DtlsSetup::Passive) => DtlsSetup::Active,
            _ => DtlsSetup::Passive,
        };
        let purpose = |at: usize| match lines.iter().find(|agreement| agreement.line == at) {
            Some(Agreement { kind: MediaKind::Video, choice, .. }) => {
                Purpose::Send(Some((choice.payload_type, choice.fmtp.clone())))
            }
            Some(_) => Purpose::Send(None),
            None if talk.is_some_and(|talk| talk.line == at) => Purpose::Receive,
            None if channel == Some(at) => Purpose::Channel,
            None if at == tagged => Purpose::Carry,
            None => Purpose::Refuse,
        };
        let slots = offer.lines.iter().enumerate().map(|(at, line)| slot(line, purpose(at))).collect();
        let mut layout = SessionLayout { slots, tagged, bundled: offer.group_of(tagged).is_some() };
        talk_line::apply(&mut layout, offer, talk);
        let agreed = Agreed { layout, fingerprint: transport.fingerprint.clone(), setup, lines, talk, channel };
        Ok(self.incoming(agreed, offer, &transport, budget))
    }

    /// The answer for the viewer, made from the stack's. From now on it is what both sides agree on.
    pub(crate) fn own_answer(
        &mut self,
        stack: &str,
        incoming: RemoteDescription,
        candidates: impl Fn(&str) -> Vec<String>,
    ) -> Result<String, Refusal> {
        let Agreed { layout, setup, .. } = &incoming.agreed;
        let (text, own) = self.own(stack, layout, *setup, candidates, "answer")?;
        self.own = Some(own);
        self.agreed = Some(incoming.agreed);
        Ok(text)
    }

    /// The offer for the viewer.
    pub(crate) fn own_offer(
        &mut self,
        stack: &str,
        candidates: impl Fn(&str) -> Vec<String>,
    ) -> Result<String, Refusal> {
        let layout = match &self.agreed {
            Some(agreed) => agreed.layout.clone(),
            None => {
                self.mids = write::stack_mids(stack).map_err(|why| unfit("offer", &why))?;
                let mut layout = SessionLayout::of_stack(stack).map_err(|why| unfit("offer", &why))?;
                if self.media.talk {
                    talk_line::offer(&mut layout);
                }
                layout
            }
        };
        let (text, own) = self.own(stack, &layout, DtlsSetup::ActPass, candidates, "offer")?;
        (self.own, self.offered) = (Some(own), Some(layout));
        Ok(text)
    }

    /// Reads the viewer's answer to the device's offer. It takes effect with `accept`.
    pub(crate) fn take_answer(
        &self,
        answer: &Description,
        budget: &mut CandidateBudget,
    ) -> Result<RemoteDescription, Refusal> {
        if let Some(agreed) = &self.agreed {
            return self.again(agreed, answer, budget, "answer");
        }
        let layout = self.offered.as_ref().ok_or_else(|| Refusal::new(ErrorName::Conflict, "nothing was offered"))?;
        same_lines(layout, answer, "answer").map_err(bad)?;
        let mut lines = Vec::new();
        let mut layout = layout.clone();
        for (at, line) in answer.lines.iter().enumerate() {
            match line.usage() {
                _ if matches!(layout.slots[at].purpose, Purpose::Receive | Purpose::Channel) => {}
                Use::Common(choice) => {
                    lines.push(Agreement { line: at, kind: line.kind, choice, extensions: extensions(line) });
                }
                Use::Unfit(why) => return Err(bad(format!("the answer's m-line {at}: {why}"))),
                Use::Foreign | Use::Unwanted => layout.slots[at].purpose = Purpose::Refuse,
            }
        }
        let used: Vec<usize> = lines.iter().map(|agreement| agreement.line).collect();
        if used.is_empty() {
            let message =
                "the answer takes none of what was offered: this device sends H.264 (packetization-mode 1) and Opus";
            return Err(Refusal::new(ErrorName::NoCommonCodec, message));
        }
        if !answer.is_bundled(&used) {
            return Err(need_bundle("answer"));
        }
        let tagged = answer.tagged(&used).unwrap_or_default();
        let transport = answer.transport(tagged)?;
        let talk = talk_line::answered(&mut layout, answer, &used);
        let channel = channel_line::answered(&mut layout, answer, &used);
        // Without `setup`, an answer means passive (RFC 4145 section 4.1).
        let setup = match transport.setup {
            Some(DtlsSetup::Active) => DtlsSetup::Passive,
            Some(DtlsSetup::Passive) | None => DtlsSetup::Active,
            Some(_) => {
                return Err(bad("the answer must say setup:active or setup:passive: the offer left it to choose"));
            }
        };
        if layout.slots[tagged].purpose == Purpose::Refuse {
            layout.slots[tagged].purpose = Purpose::Carry;
            layout.slots[tagged].first = first(&answer.lines[tagged]);
        }
        layout.tagged = tagged;
        let agreed = Agreed { layout, fingerprint: transport.fingerprint.clone(), setup, lines, talk, channel };
        Ok(self.incoming(agreed, answer, &transport, budget))
    }

    /// The stack has accepted the viewer's answer.
    pub(crate) fn accept(&mut self, incoming: RemoteDescription) {
        let sent = |kind| incoming.agreed.lines.iter().any(|agreement| agreement.kind == kind);
        if self.agreed.is_none() {
            let Wanted { video, audio, .. } = self.media;
            self.refused.video = video && !sent(MediaKind::Video);
            self.refused.audio = audio && !sent(MediaKind::Audio);
        }
        self.agreed = Some(incoming.agreed);
    }

    /// A later description may change only ICE.
    fn again(
        &self,
        agreed: &Agreed,
        description: &Description,
        budget: &mut CandidateBudget,
        which: &str,
    ) -> Result<RemoteDescription, Refusal> {
        let conflict =
            |why: String| Refusal::new(ErrorName::Conflict, format!("{why}: an ICE restart changes ICE alone"));
        same_lines(&agreed.layout, description, which).map_err(conflict)?;
        for agreement in &agreed.lines {
            let (line, kind) = (&description.lines[agreement.line], agreement.kind.name());
            let pt = agreement.choice.payload_type;
            if line.is_refused() || !line.direction.receives() {
                return Err(conflict(format!("the {which} no longer takes the {kind}")));
            }
            let choice = line.choice_of(pt).ok_or_else(|| {
                conflict(format!("the {which} no longer has the codec of the {kind} with the payload type {pt}"))
            })?;
            if agreement.choice.rtx.is_some() && choice.rtx != agreement.choice.rtx {
                return Err(conflict(format!("the {which} has another payload type for what is sent again")));
            }
            for (id, uri) in &agreement.extensions {
                if line.extensions.iter().any(|(other, is)| (is == uri) != (*other == u16::from(*id))) {
                    return Err(conflict(format!("the {which} has other ids for header extensions")));
                }
            }
        }
        if let Some(talk) = agreed.talk
            && description.lines[talk.line].talk().is_none_or(|choice| choice.payload_type != talk.payload_type)
        {
            return Err(conflict(format!("the {which} no longer sends the sound of the viewer")));
        }
        channel_line::stays(agreed.channel, description, which).map_err(conflict)?;
        let used: Vec<usize> = agreed.lines.iter().map(|agreement| agreement.line).collect();
        if !description.is_bundled(&used) {
            return Err(conflict(format!("the {which} no longer has its m-lines in one BUNDLE group")));
        }
        let tagged = description.tagged(&used).unwrap_or(agreed.layout.tagged);
        let transport = description.transport(tagged)?;
        if transport.fingerprint != agreed.fingerprint {
            return Err(conflict(format!("the {which} has the fingerprint of another certificate")));
        }
        let fits = match transport.setup {
            None => true,
            Some(DtlsSetup::ActPass) => which == "offer",
            Some(DtlsSetup::Active) => agreed.setup == DtlsSetup::Passive,
            Some(DtlsSetup::Passive) => agreed.setup == DtlsSetup::Active,
            Some(DtlsSetup::HoldConn) => false,
        };
        if !fits {
            return Err(conflict(format!("the {which} changes who is the DTLS client")));
        }
        Ok(self.incoming(agreed.clone(), description, &transport, budget))
    }

    fn incoming(
        &self,
        agreed: Agreed,
        description: &Description,
        transport: &TransportParameters,
        budget: &mut CandidateBudget,
    ) -> RemoteDescription {
        let mid = |kind: MediaKind| {
            let known = self.mids.iter().find(|(of, _)| *of == kind).map(|(_, mid)| mid.as_str());
            known.unwrap_or(kind.name()).to_owned()
        };
        let lines: Vec<ViewerSection> = agreed
            .lines
            .iter()
            .map(|Agreement { kind, choice, extensions, .. }| ViewerSection {
                kind: *kind,
                mid: mid(*kind),
                choice: choice.clone(),
                extensions: extensions.clone(),
            })
            .collect();
        // The viewer's role follows from the device's. An offer that leaves it open means the same.
        let setup = if agreed.setup == DtlsSetup::Active { DtlsSetup::Passive } else { DtlsSetup::Active };
        let tagged = description.tagged(&agreed.lines.iter().map(|line| line.line).collect::<Vec<_>>());
        let (candidates, dropped) =
            tagged.map_or((Vec::new(), 0), |tagged| description.lines[tagged].usable_candidates(budget));
        let channel = agreed.channel.map(|_| mid(MediaKind::Data));
        let stack = write::for_stack(transport, setup, description.ice_lite, &lines, channel.as_deref(), &candidates);
        let own = |line: &&MediaSection| line.ufrag.as_ref().is_some_and(|ufrag| *ufrag != transport.ufrag);
        let elsewhere = description.lines.iter().filter(own).filter_map(|line| line.mid.clone()).collect();
        RemoteDescription { stack, ufrag: transport.ufrag.clone(), dropped, elsewhere, agreed }
    }

    /// Writes a description and reads it again, so that none is sent that cannot work.
    fn own(
        &self,
        stack: &str,
        layout: &SessionLayout,
        setup: DtlsSetup,
        candidates: impl Fn(&str) -> Vec<String>,
        which: &str,
    ) -> Result<(String, Description), Refusal> {
        let text = write::for_viewer(stack, layout, setup, candidates).map_err(|why| unfit(which, &why))?;
        let own = Description::parse(&text).map_err(|refusal| unfit(which, &refusal.message))?;
        fits(&own, layout, setup).map_err(|why| unfit(which, &why))?;
        Ok((text, own))
    }
}

/// The refusal if the device's own description is wrong, which is a fault of this device.
fn unfit(which: &str, why: &str) -> Refusal {
    tracing::warn!("made an invalid {which}, not sent: {why}");
    Refusal::new(ErrorName::Internal, format!("this device could not make an {which} that works: {why}"))
}
