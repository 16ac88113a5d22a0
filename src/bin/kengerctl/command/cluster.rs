//! `kengerctl cluster`

use kenger_sdk::Client;
use kenger_types::MemberId;
use kenger_types::cluster::{ClusterStatus, MemberStatus};

use crate::args::ClusterCommand;
use crate::failure::Failure;
use crate::output::{Output, Table, age, bytes};

pub(super) async fn run(client: &Client, command: ClusterCommand, output: Output) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status => status(client, output).await,
    }
}

async fn status(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.cluster_status().await?;
    output.answer(&answer.data, || text(&answer.data, output.is_wide()))?;
    match (answer.data.cluster_id, answer.data.leader_id) {
        (_, Some(_)) => Ok(()),
        (None, None) => {
            Err(Failure::Unhealthy("the cluster has not been started yet: members are missing".to_owned()))
        }
        (Some(_), None) => Err(Failure::Unhealthy(format!(
            "member {} knows no leader; writes wait until a majority of the members is there",
            answer.data.member_id
        ))),
    }
}

fn text(status: &ClusterStatus, wide: bool) -> String {
    let cluster = status.cluster_id.map_or_else(|| "not started yet".to_owned(), |id| id.to_string());
    let leader = status.leader_id.map_or_else(|| "none".to_owned(), |id| format!("member {id}"));
    let reachable = status.members.iter().filter(|member| member.uptime_seconds.is_some()).count();
    let mut text = format!(
        "cluster   {cluster}\nleader    {leader}\nterm      {}\nrevision  {}\nmembers   {reachable} of {} reachable\n\n",
        status.term,
        status.revision,
        status.members.len()
    );
    let mut titles = vec![">ID", "ROLE", "API", ">REVISION", ">LAG", ">UPTIME", "VERSION"];
    if wide {
        titles.extend(["PEER", "VOTER", ">TERM", ">LAST LOG", ">APPLIED", ">DISK"]);
    }
    let mut table = Table::new(&titles);
    for member in &status.members {
        table.row(row(member, wide, status.member_id));
    }
    text += &table.render();
    text
}

fn row(member: &MemberStatus, wide: bool, answered: MemberId) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let asked = if member.id == answered { " (asked)" } else { "" };
    let mut row = vec![
        member.id.to_string(),
        format!("{}{asked}", member.role),
        member.api.clone(),
        number(member.revision.map(|revision| revision.0)),
        number(member.lag),
        member.uptime_seconds.map_or_else(String::new, age),
        member.version.clone().unwrap_or_default(),
    ];
    if wide {
        row.extend([
            member.peer.clone(),
            if member.voter { "yes" } else { "no" }.to_owned(),
            number(member.term),
            number(member.last_log_index),
            number(member.applied_index),
            member.disk_bytes.map_or_else(String::new, bytes),
        ]);
    }
    row
}
